"""Demonstrations of the scripted experts, recorded as the robot would have seen them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import ARM_NAMES, RobotProfile, load_robot_profile
from svam_ros.parameters import PolicyParameters
from svam_ros.recording.replay import ReplaySettings, observations
from svam_ros.simulation.cobot_simulation import CobotSimulation, SceneSnapshot
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import ArmReport, SimulatedRobot, stream_step
from svam_ros.translation.images import camera_frame
from svam_ros.translation.preprocessing import ImagePreparation, crop_picture, prepare_image
from svam_ros.types import ArmReading, CameraFrame, FloatArray, ImageArray, Observation
from svam_train.episodes.demonstration_files import Demonstration, demonstration_path, save_demonstration

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
    profile: str = PolicyParameters.profile
    """Robot profile whose messages joint states and set-points pass through."""
    max_joint_age_ms: float = PolicyParameters.max_joint_age_ms
    """As of policy_node."""


@dataclass
class _Episode:
    """What one attempt of the expert leaves behind, before anything is drawn."""

    settings: ReplaySettings
    targets: NDArray[np.float64]
    scenes: list[tuple[int, SceneSnapshot]] = field(default_factory=list)
    """What is to be drawn, with the stamp of the frame."""
    readings: dict[str, list[ArmReading]] = field(default_factory=lambda: {arm: [] for arm in ARM_NAMES})

    def add(self, reports: list[ArmReport]) -> None:
        """Keep the joint states that have come."""
        for arm, reading in reports:
            self.readings[arm].append(reading)

    def observations(self, camera: FrontCamera) -> Iterator[Observation]:
        """Draw, and put together what policy_node would have acted on."""
        return observations(self._frames(camera), self.readings, self.settings)

    def _frames(self, camera: FrontCamera) -> Iterator[CameraFrame]:
        for stamp_ns, snapshot in self.scenes:
            yield camera_frame(camera.render(snapshot), stamp_ns, self.settings.profile.camera)


def record_demonstration(
    task: str, seed: int, recipe: RecordingRecipe, camera: FrontCamera, truth_camera: FrontCamera
) -> Demonstration | None:
    """Let the expert do ``task`` once; ``None`` where it cannot.

    Where the noise makes it fail it is tried again with less, so that hard scenes are not left out.
    Pictures and joints are those of the observations that policy_node would have made.
    """
    profile = load_robot_profile(recipe.profile)
    try:
        plan = plan_demonstration(SimulatedRobot(task, seed, profile).simulation)
    except UnreachableError:
        return None
    attempts = (_run_plan(task, seed, plan, recipe, share) for share in recipe.noise_shares)
    episode = next((attempt for attempt in attempts if attempt is not None), None)
    if episode is None:
        return None
    images, joints = _seen(episode, camera, recipe)
    truths = [_scene_truth(truth_camera, snapshot, recipe) for _, snapshot in episode.scenes]
    return Demonstration(
        task=task,
        seed=seed,
        instruction=episode.settings.instruction,
        stride=recipe.stride,
        images=images,
        joints=joints,
        targets=episode.targets.astype(np.float32),
        depth=np.stack([depth for depth, _ in truths]),
        segments=np.stack([segments for _, segments in truths]),
    )


def _seen(
    episode: _Episode, camera: FrontCamera, recipe: RecordingRecipe
) -> tuple[ImageArray, NDArray[np.float32]]:
    """Pictures ``(n, size, size, 3)`` as the network is given them, and the joints ``(n, 14)`` beside each.

    Raises:
        ValueError: policy_node would have refused some, because their joint states are too old.
    """
    images, joints = [], []
    for observation in episode.observations(camera):
        images.append(prepare_image(observation.frame.rgb, recipe.image))
        joints.append(observation.arms.positions.astype(np.float32))
    missing = len(episode.scenes) - len(images)
    if missing:
        raise ValueError(
            f"{missing} of {len(episode.scenes)} pictures have no joint states that are at most "
            f"{recipe.max_joint_age_ms:g} ms older: is robot profile {recipe.profile} too slow?"
        )
    return np.stack(images), np.stack(joints)


def _run_plan(
    task: str, seed: int, plan: FloatArray, recipe: RecordingRecipe, noise_share: float
) -> _Episode | None:
    robot = SimulatedRobot(task, seed, load_robot_profile(recipe.profile))
    settings = ReplaySettings(robot.profile, recipe.max_joint_age_ms, robot.simulation.instruction)
    targets = np.concatenate([plan, np.repeat(plan[-1:], recipe.hold_steps, axis=0)])
    noise = noise_share * _smooth_noise(len(targets), robot.simulation, seed, recipe)
    episode = _Episode(settings, targets)
    episode.add(robot.report())
    before = robot.cobot.home
    for step, executed in enumerate(targets + noise):
        if step % recipe.stride == 0:
            episode.scenes.append((robot.now_ns, robot.snapshot()))
        episode.add(stream_step(robot, before, executed))
        before = executed
    return episode if robot.simulation.success() else None


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
    profile = load_robot_profile(recipe.profile)
    with ProcessPoolExecutor(workers, context, _start_worker, (profile,)) as pool:
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
    picture = crop_picture(picture, recipe.image)
    rows, columns = (length // recipe.grid for length in picture.shape)
    picture = picture[: rows * recipe.grid, : columns * recipe.grid]
    patches = picture.reshape(recipe.grid, rows, recipe.grid, columns).transpose(0, 2, 1, 3)
    return patches.reshape(recipe.grid, recipe.grid, -1)


_cameras: list[FrontCamera] = []
"""Of this worker process: colour, and depth and classes."""


def _start_worker(profile: RobotProfile) -> None:
    """Open this worker's cameras, and end when the process that started it is gone, however it went."""
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    colour = FrontCamera(profile.camera.width, profile.camera.height)
    _cameras.extend([colour, FrontCamera(_TRUTH_WIDTH, _TRUTH_HEIGHT)])


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
