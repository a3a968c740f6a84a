"""A twin of ros2_control's joint_trajectory_controller on its topic: what it accepts, where joints then go.

Rules and sampling after its documentation and behaviour in the Humble, Jazzy and Kilted releases; written
anew, for tests. Joints interpolate from the last desired state (``interpolate_from_desired_state``, in Humble
``open_loop_control``), as its documentation asks for where trajectories are streamed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from svam_ros.translation.trajectories import JointGroupTrajectory
from svam_ros.types import FloatArray

Rules = Literal["humble", "jazzy", "kilted"]
LAST_VELOCITY_MUST_BE_ZERO = {"humble": False, "jazzy": True, "kilted": True}
"""Default of ``allow_nonzero_velocity_at_trajectory_end``, turned round."""


class TrajectoryRefused(ValueError):
    """The controller would log an error and drop the message."""


def check_rules(
    message: JointGroupTrajectory, joint_names: tuple[str, ...], stamp_ns: int, now_ns: int, rules: Rules
) -> None:
    """What a release checks before it takes a trajectory.

    Raises:
        TrajectoryRefused: by the rules.
    """
    if set(message.joint_names) != set(joint_names):
        raise TrajectoryRefused(f"joints {message.joint_names}, the controller has {joint_names}")
    if not message.from_start_ns:
        raise TrajectoryRefused("it has no points")
    if stamp_ns and stamp_ns + message.from_start_ns[-1] < now_ns:
        raise TrajectoryRefused("its end is in the past")
    if LAST_VELOCITY_MUST_BE_ZERO[rules] and any(message.velocities[-1]):
        raise TrajectoryRefused("its last point still moves")
    previous_ns = -1
    for ns, *rows in zip(message.from_start_ns, message.positions, message.velocities, strict=True):
        if ns <= previous_ns:
            raise TrajectoryRefused("times from the start do not increase")
        if any(len(row) != len(joint_names) for row in rows):
            raise TrajectoryRefused("a point has not one number a joint")
        previous_ns = ns


class TrajectoryController:
    """Joints that follow what they are sent; at rest at ``start`` before."""

    def __init__(self, joint_names: tuple[str, ...], start: FloatArray, rules: Rules) -> None:
        self._joint_names = joint_names
        self._rules = rules
        self._desired = start.copy(), np.zeros_like(start)
        self._desired_ns = 0
        self._times_ns = np.zeros(0, np.int64)
        self._points: list[tuple[FloatArray, FloatArray]] = []

    def receive(self, message: JointGroupTrajectory, stamp_ns: int, now_ns: int) -> None:
        """Replace the trajectory in force.

        Raises:
            TrajectoryRefused: by the rules.
        """
        check_rules(message, self._joint_names, stamp_ns, now_ns, self._rules)
        order = [message.joint_names.index(name) for name in self._joint_names]
        self._times_ns = np.array([stamp_ns + ns for ns in message.from_start_ns], np.int64)
        rows = zip(message.positions, message.velocities, strict=True)
        self._points = [(np.array(p)[order], np.array(v)[order]) for p, v in rows]
        # What lies before the first point that is still to come is reached from where the joints are.
        later = int(np.searchsorted(self._times_ns, now_ns, side="right"))
        before_ns = self._desired_ns or now_ns
        self._times_ns = np.concatenate([[min(before_ns, now_ns)], self._times_ns[later:]])
        self._points = [self._desired, *self._points[later:]]

    def update(self, now_ns: int) -> tuple[FloatArray, FloatArray]:
        """Desired positions and velocities now; called at the controller's rate."""
        if self._points:
            self._desired = self._sample(now_ns)
        self._desired_ns = now_ns
        return self._desired

    def _sample(self, now_ns: int) -> tuple[FloatArray, FloatArray]:
        behind = int(np.searchsorted(self._times_ns, now_ns, side="right"))
        if behind == 0:
            return self._points[0]
        if behind == len(self._points):
            return self._points[-1][0], np.zeros_like(self._points[-1][0])
        (p0, v0), (p1, v1) = self._points[behind - 1], self._points[behind]
        begin_ns, end_ns = self._times_ns[behind - 1], self._times_ns[behind]
        span_s, s = (end_ns - begin_ns) / 1e9, (now_ns - begin_ns) / (end_ns - begin_ns)
        a, b = v0 * span_s, v1 * span_s
        position = p0 + s * (a + s * ((3 * (p1 - p0) - 2 * a - b) + s * (2 * (p0 - p1) + a + b)))
        velocity = (a + s * (2 * (3 * (p1 - p0) - 2 * a - b) + 3 * s * (2 * (p0 - p1) + a + b))) / span_s
        return position, velocity
