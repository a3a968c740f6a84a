"""The expert takes over where a policy has led the arms (DAgger, Ross et al. 2011, arXiv 1011.0686).

The policy drives a training scene through the guard for a while. From the state that it brought about the
expert goes on, is executed and recorded: an ordinary episode whose first pictures are of the policy's
making, and whose targets are verified, because only those that did the task are kept.

The expert's way on is its clean plan of the scene, from where the policy stands in it: the nearest row ahead
in joint space, found step by step and never backwards. The arms come back to it at rest within the
expert's share of the limits, and it starts gently. Where that does not do the task, because an object was
missed or moved, the arms go home and the expert plans anew for the objects as they lie.

Limits: a state from which neither does the task leaves nothing to learn from; the nearest row is blind to
the objects; arms that still move at the take-over are stopped by their drivers, not along a profile.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from svam_ros.cobot import Cobot, load_robot_profile
from svam_ros.recording.replay import ReplaySettings
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.joint_motion import Waypoint, time_motion
from svam_ros.simulation.scripted_expert import ACCELERATION_SHARE, SPEED_SHARE, plan_demonstration
from svam_ros.simulation.simulated_robot import ArmReport, SimulatedRobot, stream_step
from svam_ros.types import FloatArray
from svam_train.demonstrations import (
    _TRUTH_HEIGHT,
    _TRUTH_WIDTH,
    EVALUATION_SEEDS_FROM,
    RecordingRecipe,
    _check_recipe,
    _Episode,
    _scene_truth,
    _seen,
)
from svam_train.episodes.demonstration_files import Demonstration, save_demonstration
from svam_train.evaluation.closed_loop import ClosedLoop, appearance, front_camera, simulated_robot
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import Policy

FIRST_SEED = EVALUATION_SEEDS_FROM // 2
"""Scenes to relabel: neither those of demonstrations, which count up from 0, nor those of evaluations."""

_AHEAD_STEPS = 40
"""How far ahead the nearest row of the plan is looked for, at every control step."""
_GRIPPER_RAD_PER_M = 10.0
"""What a gripper's opening counts beside the joints."""
_LONGEST_SHARE = 1.3
"""Take-overs are drawn up to so many times the length of the plan: policies dawdle and get stuck."""
_NEAR = 1e-4
"""rad and m: as good as there."""

Outcome = Literal["continued", "replanned", "done", "failed"]
"""How the expert went on; ``done``: the policy needed no expert; ``failed``: nothing was kept."""


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
    return np.concatenate([_approach(set_point, plan[row], cobot), _gently(plan[row:], cobot)])


def relabel_scene(
    taken: TakeOver, recipe: RecordingRecipe, settings: LoopSettings, cameras: tuple[FrontCamera, FrontCamera]
) -> tuple[Demonstration | None, Outcome]:
    """Let the expert go on, and keep what does the task.

    Args:
        taken: from :func:`lead`.
        recipe: how episodes are recorded; its noise is not used, the policy has disturbed enough.
        settings: of the loop that the policy was in.
        cameras: for colour, and for depth and classes.
    """
    first = _Recording(taken, recipe, settings)
    first.follow(way_back(taken.plan, taken.row, taken.set_point, first.robot.cobot))
    if first.succeeded():
        return first.demonstration(cameras), "continued"
    second = _Recording(taken, recipe, settings)
    home = second.robot.cobot.home
    second.follow(_approach(taken.set_point, home, second.robot.cobot))
    try:
        second.follow(plan_demonstration(second.robot.simulation))
    except UnreachableError:
        return None, "failed"
    if second.succeeded():
        return second.demonstration(cameras), "replanned"
    return None, "failed"


def relabel(
    policy: Policy,
    folder: Path,
    tasks: tuple[str, ...],
    episodes: int,
    recipe: RecordingRecipe,
    settings: LoopSettings,
    first_seed: int = 0,
) -> Iterator[tuple[str, int, Outcome]]:
    """Try so many scenes of every task; those that are kept lie in the folder as ordinary episodes.

    Scenes whose episode is there already are passed over. Yields task, seed and outcome of every attempt.

    Raises:
        ValueError: the folder was recorded with another recipe, or the scenes are those of evaluations.
    """
    seeds = range(FIRST_SEED + first_seed, FIRST_SEED + first_seed + episodes)
    if first_seed < 0 or seeds.stop > EVALUATION_SEEDS_FROM:
        raise ValueError(
            f"first seed {first_seed} and {episodes} episodes: scenes to relabel are numbered 0 to "
            f"{EVALUATION_SEEDS_FROM - FIRST_SEED - 1}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _check_recipe(folder, recipe)
    truth = FrontCamera(_TRUTH_WIDTH, _TRUTH_HEIGHT)
    with front_camera(load_robot_profile(settings.profile)) as camera, truth:
        for task in tasks:
            for seed in seeds:
                path = folder / f"relabelled_{task}_{seed:06d}.npz"
                if path.exists():
                    continue
                yield task, seed, _relabel_to(path, policy, task, seed, recipe, settings, (camera, truth))


def _relabel_to(
    path: Path,
    policy: Policy,
    task: str,
    seed: int,
    recipe: RecordingRecipe,
    settings: LoopSettings,
    cameras: tuple[FrontCamera, FrontCamera],
) -> Outcome:
    try:
        taken = lead(policy, cameras[0], task, seed, settings)
    except UnreachableError:
        return "failed"
    if taken is None:
        return "done"
    demonstration, outcome = relabel_scene(taken, recipe, settings, cameras)
    if demonstration is not None:
        unfinished = path.parent / ".relabelling"
        unfinished.mkdir(exist_ok=True)
        os.replace(save_demonstration(unfinished, demonstration), path)
    return outcome


class _Recording:
    """The expert's part of a scene, under way."""

    def __init__(self, taken: TakeOver, recipe: RecordingRecipe, settings: LoopSettings) -> None:
        self.robot = taken.robot(settings)
        self._taken, self._recipe = taken, recipe
        replay = ReplaySettings(
            self.robot.profile, recipe.max_joint_age_ms, self.robot.simulation.instruction
        )
        self._episode = _Episode(replay, np.empty((0, len(taken.set_point))))
        self._episode.add(self.robot.report())
        self._targets: list[FloatArray] = []
        self._before = taken.set_point

    def follow(self, targets: FloatArray) -> None:
        """Execute and record ``(n, 14)`` targets."""
        for target in targets:
            if len(self._targets) % self._recipe.stride == 0:
                self._episode.scenes.append((self.robot.now_ns, self.robot.snapshot()))
            self._episode.add(stream_step(self.robot, self._before, target))
            self._before = target
            self._targets.append(target)

    def succeeded(self) -> bool:
        """Hold still for as long as demonstrations do, then look whether the task is done."""
        self.follow(np.repeat(self._before[None], self._recipe.hold_steps, axis=0))
        return self.robot.simulation.success()

    def demonstration(self, cameras: tuple[FrontCamera, FrontCamera]) -> Demonstration:
        """What was recorded, drawn."""
        recipe, episode = self._recipe, self._episode
        images, joints = _seen(episode, cameras[0], recipe)
        truths = [_scene_truth(cameras[1], snapshot, recipe) for _, snapshot in episode.scenes]
        return Demonstration(
            task=self._taken.task,
            seed=self._taken.seed,
            instruction=episode.settings.instruction,
            stride=recipe.stride,
            images=images,
            joints=joints,
            targets=np.stack(self._targets).astype(np.float32),
            depth=np.stack([depth for depth, _ in truths]),
            segments=np.stack([segments for _, segments in truths]),
        )


def _approach(start: FloatArray, end: FloatArray, cobot: Cobot) -> FloatArray:
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
