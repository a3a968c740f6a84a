"""Demonstrations of the scripted experts, recorded as the robot would have seen them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import ARM_NAMES
from svam_ros.simulation.cobot_simulation import CobotSimulation, SceneSnapshot
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.translation.preprocessing import ImagePreparation, prepare_image
from svam_ros.types import FloatArray
from svam_train.demonstration_files import Demonstration, demonstration_path, save_demonstration

SET_POINTS_PER_STEP = 4
"""The arms get set-points at 100 Hz, interpolated between the chunk's steps, as on the robot."""

EVALUATION_SEEDS_FROM = 1_000_000
"""Demonstrations use lower seeds, evaluations this one and higher: scenes never meet."""

_TRUTH_WIDTH, _TRUTH_HEIGHT = 160, 120
"""Size of the depth and class pictures: they are averaged over patches anyway."""


@dataclass(frozen=True)
class RecordingRecipe:
    """How demonstrations are recorded."""

    image: ImagePreparation
    grid: int
    """Patches along each side of the depth and class targets: the network's feature grid."""
    stride: int = 2
    """Control steps from one picture to the next: neighbours hardly differ, and drawing is what costs."""
    noise_rad: float = 0.012
    """Standard deviation of the smooth noise on executed joint targets; the recorded targets are
    clean, so that the network learns to return (Laskey et al., "DART", 2017)."""
    noise_correlation: float = 0.9
    """Of the noise, from one control step to the next."""
    noise_shares: tuple[float, ...] = (1.0, 0.4, 0.0)
    """Of the noise, tried one after the other until the expert succeeds."""
    hold_steps: int = 4
    """Control steps recorded after the end of the plan, holding still."""


@dataclass(frozen=True)
class _Episode:
    """What one attempt of the expert leaves behind, before anything is drawn."""

    instruction: str
    targets: NDArray[np.float64]
    snapshots: list[SceneSnapshot]
    joints: list[FloatArray]


def record_demonstration(
    task: str, seed: int, recipe: RecordingRecipe, camera: FrontCamera, truth_camera: FrontCamera
) -> Demonstration | None:
    """Let the expert do ``task`` once; ``None`` where it cannot.

    Where the noise makes it fail it is tried again with less, so that hard scenes are not left out.
    """
    try:
        plan = plan_demonstration(CobotSimulation(task, seed))
    except UnreachableError:
        return None
    attempts = (_run_plan(task, seed, plan, recipe, share) for share in recipe.noise_shares)
    episode = next((attempt for attempt in attempts if attempt is not None), None)
    if episode is None:
        return None
    truths = [_scene_truth(truth_camera, snapshot, recipe) for snapshot in episode.snapshots]
    return Demonstration(
        task=task,
        seed=seed,
        instruction=episode.instruction,
        stride=recipe.stride,
        images=np.stack([prepare_image(camera.render(s), recipe.image) for s in episode.snapshots]),
        joints=np.stack(episode.joints).astype(np.float32),
        targets=episode.targets.astype(np.float32),
        depth=np.stack([depth for depth, _ in truths]),
        segments=np.stack([segments for _, segments in truths]),
    )


def _run_plan(
    task: str, seed: int, plan: FloatArray, recipe: RecordingRecipe, noise_share: float
) -> _Episode | None:
    simulation = CobotSimulation(task, seed)
    targets = np.concatenate([plan, np.repeat(plan[-1:], recipe.hold_steps, axis=0)])
    noise = noise_share * _smooth_noise(len(targets), simulation, seed, recipe)
    episode = _Episode(simulation.instruction, targets, [], [])
    before = simulation.cobot.home
    for step, executed in enumerate(targets + noise):
        if step % recipe.stride == 0:
            episode.snapshots.append(simulation.snapshot())
            episode.joints.append(simulation.arm_state().positions)
        stream_step(simulation, before, executed)
        before = executed
    return episode if simulation.success() else None


def stream_step(simulation: CobotSimulation, before: FloatArray, target: FloatArray) -> None:
    """One control step: set-points from ``before`` to ``target`` ``(14,)``, streamed to both arms."""
    cobot = simulation.cobot
    clipped = np.clip(target, cobot.limits.lower, cobot.limits.upper)
    for index in range(1, SET_POINTS_PER_STEP + 1):
        set_point = before + (clipped - before) * (index / SET_POINTS_PER_STEP)
        for arm in ARM_NAMES:
            simulation.command(arm, set_point[cobot.arm_slice(arm)])
        simulation.step(cobot.control_period_s / SET_POINTS_PER_STEP)


def generate_demonstrations(
    folder: Path, counts: dict[str, int], recipe: RecordingRecipe, workers: int
) -> Iterator[tuple[str, int, bool]]:
    """Record until the folder holds ``counts[task]`` demonstrations of every task.

    What is there already is kept, and seeds at which the expert failed are not tried again. Yields
    task, seed and success of every attempt.

    Raises:
        ValueError: the folder was recorded with another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_recipe(folder, recipe)
    context = get_context("spawn")  # an OpenGL context does not survive a fork
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        for task, count in counts.items():
            have = len(list(folder.glob(f"{task}_*.npz")))
            failed = _failed_seeds(folder, task)
            seeds = (
                seed
                for seed in range(EVALUATION_SEEDS_FROM)
                if seed not in failed and not demonstration_path(folder, task, seed).exists()
            )
            while have < count:
                batch = [next(seeds) for _ in range(min(count - have, 2 * workers))]
                futures = [pool.submit(_record_to_folder, folder, task, seed, recipe) for seed in batch]
                for seed, future in zip(batch, futures, strict=True):
                    success = future.result()
                    have += success
                    yield task, seed, success


def _smooth_noise(
    steps: int, simulation: CobotSimulation, seed: int, recipe: RecordingRecipe
) -> NDArray[np.float64]:
    """``(steps, 14)`` rad; the grippers are not disturbed."""
    random = np.random.default_rng((seed, 1))
    white = random.normal(size=(steps, len(simulation.cobot.joint_names)))
    white[:, list(simulation.cobot.gripper_indices)] = 0.0
    noise = np.zeros_like(white)
    keep, fresh = recipe.noise_correlation, np.sqrt(1 - recipe.noise_correlation**2)
    for step in range(1, steps):
        noise[step] = keep * noise[step - 1] + fresh * white[step]
    return recipe.noise_rad * noise


def _scene_truth(
    camera: FrontCamera, snapshot: SceneSnapshot, recipe: RecordingRecipe
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth ``(grid, grid)`` and class shares ``(grid, grid, classes)`` of the network's view."""
    depth = _to_patches(camera.render_depth(snapshot), recipe)
    classes = _to_patches(camera.render_segmentation(snapshot), recipe)
    shares = [(classes == int(member)).mean(axis=-1) for member in SceneClass]
    return depth.mean(axis=-1, dtype=np.float32), np.stack(shares, axis=-1).astype(np.float32)


def _to_patches(picture: NDArray[np.generic], recipe: RecordingRecipe) -> NDArray[np.generic]:
    """``(h, w)`` -> ``(grid, grid, pixels of a patch)``, cropped as the network's image is."""
    height, width = picture.shape
    if recipe.image.crop == "centre_square":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
    rows, columns = (length // recipe.grid for length in picture.shape)
    picture = picture[: rows * recipe.grid, : columns * recipe.grid]
    patches = picture.reshape(recipe.grid, rows, recipe.grid, columns).transpose(0, 2, 1, 3)
    return patches.reshape(recipe.grid, recipe.grid, -1)


_cameras: list[FrontCamera] = []
"""Of this worker process: colour, and depth and classes."""


def _start_worker() -> None:
    """Open this worker's cameras, and end when the process that started it is gone, however it went."""
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    _cameras.extend([FrontCamera(), FrontCamera(_TRUTH_WIDTH, _TRUTH_HEIGHT)])


def _record_to_folder(folder: Path, task: str, seed: int, recipe: RecordingRecipe) -> bool:
    demonstration = record_demonstration(task, seed, recipe, *_cameras)
    if demonstration is not None:
        save_demonstration(folder, demonstration)
        return True
    with (folder / "failed.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"task": task, "seed": seed}) + "\n")
    return False


def _failed_seeds(folder: Path, task: str) -> set[int]:
    path = folder / "failed.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines]
    return {int(entry["seed"]) for entry in entries if entry["task"] == task}


def _check_recipe(folder: Path, recipe: RecordingRecipe) -> None:
    path, text = folder / "recipe.json", json.dumps(asdict(recipe), indent=2)
    if path.exists():
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if recorded != json.loads(text):
            raise ValueError(f"{path} says {recorded}, asked for is {text}: use another folder")
    else:
        path.write_text(text + "\n", encoding="utf-8")
