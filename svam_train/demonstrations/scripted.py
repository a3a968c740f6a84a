"""One demonstration of a scripted expert, recorded as the robot would have seen it."""

from __future__ import annotations

import numpy as np

from svam_ros.cobot import load_robot_profile
from svam_ros.simulation.appearance import NOMINAL, draw_appearance
from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import SimulatedRobot, stream_step
from svam_ros.types import FloatArray
from svam_train.demonstrations.recorded_scene import Cameras, RecordedScene
from svam_train.demonstrations.recording_recipe import RecordingRecipe
from svam_train.demonstrations.smooth_noise import smooth_noise
from svam_train.episodes.demonstration_files import Demonstration


def record_demonstration(
    task: str, seed: int, recipe: RecordingRecipe, cameras: Cameras
) -> Demonstration | None:
    """Let the expert do ``task`` once; ``None`` where it cannot.

    Where the noise makes it fail it is tried again with less, so that hard scenes are not left out.
    """
    try:
        plan = plan_demonstration(_robot(task, seed, recipe).simulation)
    except UnreachableError:
        return None
    targets = np.concatenate([plan, np.repeat(plan[-1:], recipe.hold_steps, axis=0)])
    attempts = (_follow(targets, task, seed, recipe, share) for share in recipe.noise_shares)
    scene = next((attempt for attempt in attempts if attempt is not None), None)
    return None if scene is None else scene.demonstration(task, seed, targets, recipe, cameras)


def _robot(task: str, seed: int, recipe: RecordingRecipe) -> SimulatedRobot:
    kind = recipe.scene_kind(seed)
    appearance = draw_appearance(seed) if kind.varied else NOMINAL
    profile = load_robot_profile(recipe.profile)
    return SimulatedRobot(task, seed, profile, shared=kind.shared, appearance=appearance)


def _follow(
    targets: FloatArray, task: str, seed: int, recipe: RecordingRecipe, noise_share: float
) -> RecordedScene | None:
    """Execute ``(steps, 14)`` targets under noise; ``None`` where that does not do the task."""
    robot = _robot(task, seed, recipe)
    scene = RecordedScene.of(robot, recipe)
    before = robot.cobot.home
    random = np.random.default_rng((seed, 1))
    wandering = smooth_noise(len(targets), robot.cobot, random, recipe.noise_correlation)
    noise = noise_share * recipe.noise_rad * wandering
    for step, executed in enumerate(targets + noise):
        if step % recipe.stride == 0:
            scene.take_picture(robot)
        scene.add(stream_step(robot, before, executed))
        before = executed
    return scene if robot.simulation.success() else None
