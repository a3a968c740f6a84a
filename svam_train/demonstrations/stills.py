"""Pictures of thousands of scenes, each drawn once: what teachers of places need is other scenes, not motion.

A demonstration is 45 pictures of one scene. In a still nothing moves: the arms stand somewhere on the
expert's way or a little beside it, the objects where the scene has put them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import load_robot_profile
from svam_ros.simulation.appearance import NOMINAL, draw_appearance
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.tasks import find_task
from svam_ros.translation.images import camera_frame
from svam_ros.translation.preprocessing import prepare_image
from svam_ros.types import FloatArray, ImageArray
from svam_train.demonstrations.recorded_scene import Cameras, SceneTruth, scene_truth
from svam_train.demonstrations.recording_recipe import RecordingRecipe, keep_recipe
from svam_train.episodes.demonstration_files import (
    Demonstration,
    check_stills_apart,
    demonstration_path,
    save_demonstration,
)
from svam_train.episodes.scene_seeds import STILL_SEEDS_FROM
from svam_train.worker_pool import worker_pool

STILLS_A_FILE = 25
"""Scenes whose pictures lie in one file."""
BESIDE_RAD = 0.05
"""Standard deviation of the arms' joints from the expert's way."""


def make_stills(
    folder: Path, count: int, tasks: tuple[str, ...], recipe: RecordingRecipe, workers: int
) -> Iterator[tuple[str, int]]:
    """Draw until the folder holds ``count`` stills of every task, in whole files; yields each file's.

    Raises:
        ValueError: the folder was recorded with another recipe or holds demonstrations; a task is not known.
    """
    for task in tasks:
        find_task(task)
    check_stills_apart(folder, stills=True)
    keep_recipe(folder, recipe)
    missing = missing_files(folder, count, tasks)
    with worker_pool(workers, _open_cameras, recipe) as pool:
        futures = [(task, pool.submit(_make_file, folder, task, seed, recipe)) for task, seed in missing]
        for task, future in futures:
            future.result()
            yield task, STILLS_A_FILE


def missing_files(folder: Path, count: int, tasks: tuple[str, ...]) -> list[tuple[str, int]]:
    """Task and first seed of the files that :func:`make_stills` would write."""
    firsts = range(STILL_SEEDS_FROM, STILL_SEEDS_FROM + count, STILLS_A_FILE)
    files = [(task, seed) for seed in firsts for task in tasks]
    return [(task, seed) for task, seed in files if not demonstration_path(folder, task, seed).exists()]


_cameras: list[Cameras] = []
"""Of this worker process: one pair."""


def _open_cameras(recipe: RecordingRecipe) -> None:
    _cameras.append(Cameras.open(recipe))


def _make_file(folder: Path, task: str, first_seed: int, recipe: RecordingRecipe) -> None:
    save_demonstration(folder, stills(task, first_seed, recipe, _cameras[0]))


def stills(task: str, first_seed: int, recipe: RecordingRecipe, cameras: Cameras) -> Demonstration:
    """Pictures of :data:`STILLS_A_FILE` scenes, in the form of an episode that nobody has moved in."""
    drawn = [_still(task, first_seed + number, recipe, cameras) for number in range(STILLS_A_FILE)]
    images, joints, truths = zip(*drawn, strict=True)
    return Demonstration(
        task=task,
        seed=first_seed,
        # Batches share between instructions: with one of their own stills are as many as demonstrations.
        instruction=f"stand still before you {find_task(task).instruction}",
        stride=recipe.stride,
        images=np.stack(images),
        joints=np.stack(joints),
        targets=np.repeat(np.stack(joints), recipe.stride, axis=0),
        depth=np.stack([truth.depth for truth in truths]),
        segments=np.stack([truth.segments for truth in truths]),
        points=np.stack([truth.points for truth in truths]),
        centres=np.stack([truth.centres for truth in truths]),
    )


def _still(
    task: str, seed: int, recipe: RecordingRecipe, cameras: Cameras
) -> tuple[ImageArray, NDArray[np.float32], SceneTruth]:
    kind, random = recipe.scene_kind(seed), np.random.default_rng((seed, 7))
    appearance = draw_appearance(seed) if kind.varied else NOMINAL
    simulation = CobotSimulation(task, seed, shared=kind.shared, appearance=appearance)
    simulation.pose_arms(_somewhere(simulation, random))
    snapshot = simulation.snapshot()
    camera = load_robot_profile(recipe.profile).camera
    image = prepare_image(camera_frame(cameras.colour.render(snapshot), 0, camera).rgb, recipe.image)
    joints = simulation.arm_state().positions.astype(np.float32)
    return image, joints, scene_truth(cameras.truth, snapshot, recipe)


def _somewhere(simulation: CobotSimulation, random: np.random.Generator) -> FloatArray:
    """``(14,)`` on the expert's way or a little beside it; at home or beside it where there is no way."""
    cobot = simulation.cobot
    try:
        plan = plan_demonstration(simulation)
    except UnreachableError:
        plan = cobot.home[None]
    positions = plan[int(random.integers(len(plan)))] + random.normal(0.0, BESIDE_RAD, len(cobot.home))
    grippers = list(cobot.gripper_indices)
    positions[grippers] = random.uniform(cobot.limits.lower[grippers], cobot.limits.upper[grippers])
    return np.clip(positions, cobot.limits.lower, cobot.limits.upper)
