"""A policy drives a training scene for a while; then the expert finds its way back to its plan."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import Cobot, load_robot_profile
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.joint_motion import Waypoint, time_motion
from svam_ros.simulation.scripted_expert import ACCELERATION_SHARE, SPEED_SHARE, plan_demonstration
from svam_ros.simulation.simulated_robot import ArmReport, SimulatedRobot
from svam_ros.types import FloatArray
from svam_train.evaluation.closed_loop import ClosedLoop, appearance, simulated_robot
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import Policy

_AHEAD_STEPS = 40
"""How far ahead the nearest row of the plan is looked for, at every control step."""
_GRIPPER_RAD_PER_M = 10.0
"""What a gripper's opening counts beside the joints."""
_LONGEST_SHARE = 1.3
"""Take-overs are drawn up to so many times the length of the plan: policies dawdle and get stuck."""
_NEAR = 1e-4
"""rad and m: as good as there."""


class TracedRobot(SimulatedRobot):
    """Keeps what passes, so that another robot can be brought into the same state."""

    _pending: tuple[FloatArray, FloatArray] | None = None

    def __init__(self, task: str, seed: int, settings: LoopSettings) -> None:
        profile, looks = load_robot_profile(settings.profile), appearance(seed, settings)
        super().__init__(task, seed, profile, shared=settings.shared_scenes, appearance=looks)
        self.passed: list[tuple[tuple[FloatArray, FloatArray] | None, float]] = []
        """Set-point and velocity that were sent, if any, and the time that passed then, s."""

    def send(self, positions: FloatArray, velocities: FloatArray) -> None:
        """See :class:`SimulatedRobot`."""
        super().send(positions, velocities)
        self._pending = positions.copy(), velocities.copy()

    def advance(self, duration_s: float) -> list[ArmReport]:
        """See :class:`SimulatedRobot`."""
        self.passed.append((self._pending, duration_s))
        self._pending = None
        return super().advance(duration_s)


@dataclass(frozen=True)
class TakeOver:
    """Where a policy has led the arms."""

    task: str
    seed: int
    passed: tuple[tuple[tuple[FloatArray, FloatArray] | None, float], ...]
    """As of :class:`TracedRobot`."""
    plan: FloatArray
    """``(n, 14)`` the expert's for the scene as it was at first."""
    row: int
    """Of the plan, where the policy stands in it."""
    set_point: FloatArray
    """``(14,)`` the last one, rad and m."""

    def robot(self, settings: LoopSettings) -> SimulatedRobot:
        """A robot in that state: physics is the same every time."""
        robot = simulated_robot(self.task, self.seed, settings)
        for sent, duration_s in self.passed:
            if sent is not None:
                robot.send(*sent)
            robot.advance(duration_s)
        return robot


def lead(
    policy: Policy, camera: FrontCamera, task: str, seed: int, settings: LoopSettings
) -> TakeOver | None:
    """Let the policy drive for a time that the seed draws; ``None`` where it does the task meanwhile.

    Raises:
        UnreachableError: the expert has no plan for the scene.
    """
    robot = TracedRobot(task, seed, settings)
    plan = plan_demonstration(robot.simulation)
    cobot = robot.cobot
    most = math.ceil(_LONGEST_SHARE * len(plan))
    steps = int(np.random.default_rng((seed, 4)).integers(1, most + 1))
    policy.start(task, seed)
    loop = ClosedLoop(policy, camera, robot, settings)
    row, set_point = 0, cobot.home
    ticks = max(1, round(cobot.control_period_s * robot.profile.command_rate_hz))
    for _ in range(steps):
        for _ in range(ticks):
            loop.advance()
        if robot.simulation.success():
            return None
        set_point = next((sent[0] for sent, _ in reversed(robot.passed) if sent is not None), set_point)
        row = nearest_row(plan, set_point, row, cobot)
    return TakeOver(task, seed, tuple(robot.passed), plan, row, set_point)


def nearest_row(plan: FloatArray, set_point: FloatArray, row: int, cobot: Cobot) -> int:
    """The row at or ahead of ``row`` that is nearest to ``set_point``, the first of equally near ones."""
    weights = np.ones(len(set_point))
    weights[list(cobot.gripper_indices)] = _GRIPPER_RAD_PER_M
    ahead = (plan[row : row + _AHEAD_STEPS] - set_point) * weights
    return row + int(np.argmin(np.square(ahead).sum(axis=1)))


def way_back(plan: FloatArray, row: int, set_point: FloatArray, cobot: Cobot) -> FloatArray:
    """``(n, 14)`` joint targets from a set-point at rest to row ``row`` of the plan and on to its end."""
    return np.concatenate([approach(set_point, plan[row], cobot), _gently(plan[row:], cobot)])


def approach(start: FloatArray, end: FloatArray, cobot: Cobot) -> FloatArray:
    """``(n, 14)`` from rest to rest within the expert's share of the limits."""
    if np.abs(end - start).max() < _NEAR:
        return np.empty((0, len(start)))
    speeds, accelerations = (
        SPEED_SHARE * cobot.limits.velocity,
        ACCELERATION_SHARE * cobot.limits.acceleration,
    )
    return time_motion(start, [Waypoint(end)], speeds, accelerations, cobot.control_period_s, 0.0)


def _gently(plan: FloatArray, cobot: Cobot) -> FloatArray:
    """``(n, 14)`` the plan from its first row at rest: its pace rises within what its own accelerations leave
    of the limits.
    """
    spare = (1.0 - ACCELERATION_SHARE) * cobot.limits.acceleration
    rise_s = float((SPEED_SHARE * cobot.limits.velocity / spare).max())
    rise = max(1, math.ceil(rise_s / cobot.control_period_s))
    paces = np.minimum(np.arange(1, len(plan) + rise + 1) / rise, 1.0)
    moments = np.minimum(np.cumsum(paces), len(plan) - 1)
    moments = moments[: int(np.argmax(moments >= len(plan) - 1)) + 1]
    before = np.floor(moments).astype(np.int64)
    share = (moments - before)[:, None]
    return (1.0 - share) * plan[before] + share * plan[np.minimum(before + 1, len(plan) - 1)]
