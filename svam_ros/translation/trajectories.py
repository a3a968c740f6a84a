"""Set-points and the way to rest behind them as the trajectory of one arm.

For the joint_trajectory_controller of ros2_control, by the rules that its Humble, Jazzy and Kilted releases
check (https://control.ros.org/kilted/doc/ros2_controllers/joint_trajectory_controller/doc/userdoc.html): all
joints are named, times from the start increase and begin behind it, the end lies ahead and at rest. Positions
and velocities make the controller interpolate by cubics: continuous from one message to the next, since each
begins on the path of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import RobotProfile
from svam_ros.types import FloatArray, PlannedPoints


@dataclass(frozen=True)
class JointGroupTrajectory:
    """What one controller is told."""

    topic: str
    joint_names: tuple[str, ...]
    from_start_ns: tuple[int, ...]
    """Of every point, increasing, above 0."""
    positions: tuple[tuple[float, ...], ...]
    velocities: tuple[tuple[float, ...], ...]


def arm_trajectories(
    profile: RobotProfile, arm: str, joints: slice, points: PlannedPoints, start_ns: int
) -> tuple[JointGroupTrajectory, ...]:
    """One for the arm, and one for its gripper where that has a controller of its own.

    Args:
        profile: the robot's dialect.
        arm: ``"left"`` or ``"right"``.
        joints: the arm's entries of 14-vectors.
        points: the last of them at rest.
        start_ns: what the message is stamped with, on the points' clock; before the first of them.

    Raises:
        ValueError: a number is not finite, times do not increase, or the end is not at rest; the guard never
            lets one come here.
    """
    positions, velocities = points.positions[:, joints].copy(), points.velocities[:, joints].copy()
    if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
        raise ValueError(f"{arm} arm: refusing to build a trajectory from non-finite numbers")
    from_start_ns = (points.due_ns - start_ns).tolist()
    if from_start_ns != sorted(set(from_start_ns)) or from_start_ns[0] <= 0 or velocities[-1].any():
        raise ValueError(
            f"{arm} arm: times {from_start_ns} must increase, begin behind the start, end at rest"
        )
    for rows in (positions, velocities):
        rows[:, -1] /= profile.gripper.metres_per_unit
    topics = profile.arms[arm]
    parts = [(topics.command_topic, slice(0, 7))]
    if topics.gripper_command_topic:
        parts = [(topics.command_topic, slice(0, 6)), (topics.gripper_command_topic, slice(6, 7))]
    return tuple(
        JointGroupTrajectory(
            topic,
            topics.command_joint_names[part],
            tuple(from_start_ns),
            _rows(positions[:, part]),
            _rows(velocities[:, part]),
        )
        for topic, part in parts
    )


def _rows(values: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())
