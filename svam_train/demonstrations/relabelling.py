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

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import stream_step
from svam_ros.simulation.tasks import find_task
from svam_ros.types import FloatArray
from svam_train.demonstrations.recorded_scene import Cameras, RecordedScene
from svam_train.demonstrations.recording_recipe import RecordingRecipe, keep_recipe
from svam_train.demonstrations.take_over import TakeOver, approach, lead, way_back
from svam_train.episodes.demonstration_files import Demonstration, save_demonstration
from svam_train.episodes.scene_seeds import EVALUATION_SEEDS_FROM, RELABELLING_SEEDS_FROM
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import Policy
from svam_train.worker_pool import worker_pool

Outcome = Literal["continued", "replanned", "done", "failed"]
"""How the expert went on; ``done``: the policy needed no expert; ``failed``: nothing was kept."""


@dataclass(frozen=True)
class RelabellingPlan:
    """Which scenes of which tasks, and how.

    Raises:
        ValueError: a task is not known, the scenes are those of evaluations, or their kind is said twice.
    """

    folder: Path
    """Gets what is kept, as ordinary episodes."""
    tasks: tuple[str, ...]
    episodes: int
    """Scenes of each task to try."""
    recipe: RecordingRecipe
    """How episodes are recorded, and which scenes are shared and varied; its noise is not used, the policy
    has disturbed enough."""
    loop: LoopSettings
    """The loop in which the policy drives."""
    first_seed: int = 0
    """Counted from the first scene that is there to relabel."""

    def __post_init__(self) -> None:
        for task in self.tasks:
            find_task(task)
        if self.first_seed < 0 or self.first_seed + self.episodes > _SCENES:
            raise ValueError(
                f"first seed {self.first_seed} and {self.episodes} episodes: scenes to relabel are numbered "
                f"0 to {_SCENES - 1}"
            )
        if self.loop.shared_scenes or self.loop.varied_looks:
            raise ValueError(
                "which scenes are shared and which looks vary is as for the demonstrations in the folder: "
                "leave out shared_scenes and varied_looks of the loop"
            )

    def scenes(self) -> list[tuple[str, int]]:
        """Task and seed of those that are not kept yet."""
        first = RELABELLING_SEEDS_FROM + self.first_seed
        seeds = range(first, first + self.episodes)
        return [(task, seed) for task in self.tasks for seed in seeds if not self.path(task, seed).exists()]

    def path(self, task: str, seed: int) -> Path:
        """Where the episode of a scene is kept."""
        return self.folder / f"relabelled_{task}_{seed:06d}.npz"

    def loop_of(self, seed: int) -> LoopSettings:
        """The loop on the kind of scene that the seed decides on."""
        kind = self.recipe.scene_kind(seed)
        return replace(self.loop, shared_scenes=kind.shared, varied_looks=kind.varied)


_SCENES = EVALUATION_SEEDS_FROM - RELABELLING_SEEDS_FROM


def relabel(
    make_policy: Callable[[], Policy], plan: RelabellingPlan, workers: int = 1
) -> Iterator[tuple[str, int, Outcome]]:
    """Try the plan's scenes; those that are kept already are passed over.

    Yields task, seed and outcome of every attempt, in the same order and with the same outcomes for any
    number of workers.

    Args:
        make_policy: called in every worker; with more than one it has to be picklable.
        plan: what to do.
        workers: processes; 1 is this one.

    Raises:
        ValueError: the folder was recorded with another recipe, or the policy cannot be made.
    """
    keep_recipe(plan.folder, plan.recipe)
    policy = make_policy()  # what is wrong with it is said here, not by a worker that broke
    scenes = plan.scenes()
    if workers == 1:
        with Cameras.open(plan.recipe) as cameras:
            for task, seed in scenes:
                yield task, seed, relabel_to_folder(policy, plan, task, seed, cameras)
        return
    threads = max(1, torch.get_num_threads() // workers)
    with worker_pool(workers, _start, make_policy, plan, threads) as pool:
        futures = [pool.submit(_relabel, task, seed) for task, seed in scenes]
        for (task, seed), future in zip(scenes, futures, strict=True):
            yield task, seed, future.result()


def relabel_to_folder(
    policy: Policy, plan: RelabellingPlan, task: str, seed: int, cameras: Cameras
) -> Outcome:
    """Try one scene."""
    settings = plan.loop_of(seed)
    try:
        taken = lead(policy, cameras.colour, task, seed, settings)
    except UnreachableError:
        return "failed"
    if taken is None:
        return "done"
    demonstration, outcome = relabel_scene(taken, plan.recipe, settings, cameras)
    if demonstration is not None:
        unfinished = plan.folder / ".relabelling"
        unfinished.mkdir(exist_ok=True)
        os.replace(save_demonstration(unfinished, demonstration), plan.path(task, seed))
    return outcome


def relabel_scene(
    taken: TakeOver, recipe: RecordingRecipe, settings: LoopSettings, cameras: Cameras
) -> tuple[Demonstration | None, Outcome]:
    """Let the expert go on, and keep what does the task.

    Args:
        taken: from :func:`svam_train.demonstrations.take_over.lead`.
        recipe: how episodes are recorded.
        settings: of the loop that the policy was in.
        cameras: for the recipe.
    """
    first = _Recording(taken, recipe, settings)
    first.follow(way_back(taken.plan, taken.row, taken.set_point, first.robot.cobot))
    if first.succeeded():
        return first.demonstration(cameras), "continued"
    second = _Recording(taken, recipe, settings)
    home = second.robot.cobot.home
    second.follow(approach(taken.set_point, home, second.robot.cobot))
    try:
        second.follow(plan_demonstration(second.robot.simulation))
    except UnreachableError:
        return None, "failed"
    if second.succeeded():
        return second.demonstration(cameras), "replanned"
    return None, "failed"


class _Recording:
    """The expert's part of a scene, under way."""

    def __init__(self, taken: TakeOver, recipe: RecordingRecipe, settings: LoopSettings) -> None:
        self.robot = taken.robot(settings)
        self._taken, self._recipe = taken, recipe
        self._scene = RecordedScene.of(self.robot, recipe)
        self._targets: list[FloatArray] = []
        self._before = taken.set_point

    def follow(self, targets: FloatArray) -> None:
        """Execute and record ``(n, 14)`` targets."""
        for target in targets:
            if len(self._targets) % self._recipe.stride == 0:
                self._scene.take_picture(self.robot)
            self._scene.add(stream_step(self.robot, self._before, target))
            self._before = target
            self._targets.append(target)

    def succeeded(self) -> bool:
        """Hold still for as long as demonstrations do, then look whether the task is done."""
        self.follow(np.repeat(self._before[None], self._recipe.hold_steps, axis=0))
        return self.robot.simulation.success()

    def demonstration(self, cameras: Cameras) -> Demonstration:
        """What was recorded, drawn."""
        taken = self._taken
        return self._scene.demonstration(
            taken.task, taken.seed, np.stack(self._targets), self._recipe, cameras
        )


_relabellers: list[Callable[[str, int], Outcome]] = []
"""Of this worker process: one."""


def _start(make_policy: Callable[[], Policy], plan: RelabellingPlan, threads: int) -> None:
    torch.set_num_threads(threads)
    policy, cameras = make_policy(), Cameras.open(plan.recipe)
    _relabellers.append(partial(_relabel_with, policy, plan, cameras))


def _relabel_with(policy: Policy, plan: RelabellingPlan, cameras: Cameras, task: str, seed: int) -> Outcome:
    return relabel_to_folder(policy, plan, task, seed, cameras)


def _relabel(task: str, seed: int) -> Outcome:
    return _relabellers[0](task, seed)
