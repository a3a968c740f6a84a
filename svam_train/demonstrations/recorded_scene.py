"""What an episode in simulation leaves behind, and how it is drawn: as the robot would have seen it, and as
it truly was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import gcd
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import ARM_NAMES, load_robot_profile
from svam_ros.recording.replay import ReplaySettings, observations
from svam_ros.simulation.cobot_simulation import SceneSnapshot
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.simulated_robot import ArmReport, SimulatedRobot
from svam_ros.translation.images import camera_frame
from svam_ros.translation.preprocessing import crop_picture, prepare_image
from svam_ros.types import ArmReading, CameraFrame, FloatArray, ImageArray
from svam_train.demonstrations.recording_recipe import RecordingRecipe
from svam_train.episodes.demonstration_files import Demonstration
from svam_train.episodes.scene_truth import centres_of

_TRUTH_PIXELS = 6
"""Of the truth's pictures along each side of a patch: shares of classes come in steps of 1/36."""


@dataclass(frozen=True)
class Cameras:
    """What draws recordings; they belong to the thread that made them."""

    colour: FrontCamera
    """Pictures as large as the robot's."""
    truth: FrontCamera
    """Depth, places and classes, which are averaged over patches: smaller pictures do."""

    @staticmethod
    def open(recipe: RecordingRecipe) -> Cameras:
        """Cameras for one recipe.

        Raises:
            ValueError: patches would have no whole number of pixels.
            RenderingUnavailableError: no OpenGL context can be made.
        """
        camera = load_robot_profile(recipe.profile).camera
        height = _TRUTH_PIXELS * recipe.grid
        width, rest = divmod(height * camera.width, camera.height)
        if rest:
            raise ValueError(
                f"a grid of {recipe.grid} patches does not fit pictures of {camera.width} x {camera.height}: "
                f"use a multiple of {camera.height // gcd(_TRUTH_PIXELS * camera.width, camera.height)}"
            )
        return Cameras(FrontCamera(camera.width, camera.height), FrontCamera(width, height))

    def close(self) -> None:
        """Free both."""
        self.colour.close()
        self.truth.close()

    def __enter__(self) -> Cameras:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class RecordedScene:
    """An episode before anything is drawn: most attempts that fail are never drawn."""

    settings: ReplaySettings
    scenes: list[tuple[int, SceneSnapshot]] = field(default_factory=list)
    """What is to be drawn, with the stamp of the frame."""
    readings: dict[str, list[ArmReading]] = field(default_factory=lambda: {arm: [] for arm in ARM_NAMES})

    @staticmethod
    def of(robot: SimulatedRobot, recipe: RecordingRecipe) -> RecordedScene:
        """An episode that begins with the robot as it stands."""
        settings = ReplaySettings(robot.profile, recipe.max_joint_age_ms, robot.simulation.instruction)
        scene = RecordedScene(settings)
        scene.add(robot.report())
        return scene

    def add(self, reports: list[ArmReport]) -> None:
        """Keep the joint states that have come."""
        for arm, reading in reports:
            self.readings[arm].append(reading)

    def take_picture(self, robot: SimulatedRobot) -> None:
        """Keep what is to be drawn of this moment."""
        self.scenes.append((robot.now_ns, robot.snapshot()))

    def demonstration(
        self, task: str, seed: int, targets: FloatArray, recipe: RecordingRecipe, cameras: Cameras
    ) -> Demonstration:
        """Draw everything.

        Pictures and joints are those of the observations that policy_node would have made.

        Args:
            task: that was done.
            seed: of the scene.
            targets: ``(steps, 14)`` commanded, rad and m.
            recipe: how.
            cameras: made for the recipe.

        Raises:
            ValueError: policy_node would have refused some pictures: their joint states are too old.
        """
        images, joints = self._seen(cameras.colour, recipe)
        truths = [scene_truth(cameras.truth, snapshot, recipe) for _, snapshot in self.scenes]
        return Demonstration(
            task=task,
            seed=seed,
            instruction=self.settings.instruction,
            stride=recipe.stride,
            images=images,
            joints=joints,
            targets=targets.astype(np.float32),
            depth=np.stack([truth.depth for truth in truths]),
            segments=np.stack([truth.segments for truth in truths]),
            points=np.stack([truth.points for truth in truths]),
            centres=np.stack([truth.centres for truth in truths]),
        )

    def _seen(self, camera: FrontCamera, recipe: RecordingRecipe) -> tuple[ImageArray, NDArray[np.float32]]:
        """Pictures ``(n, size, size, 3)`` as the network is given them, and joints ``(n, 14)`` of each."""
        images, joints = [], []
        for observation in observations(self._frames(camera), self.readings, self.settings):
            images.append(prepare_image(observation.frame.rgb, recipe.image))
            joints.append(observation.arms.positions.astype(np.float32))
        missing = len(self.scenes) - len(images)
        if missing:
            raise ValueError(
                f"{missing} of {len(self.scenes)} pictures have no joint states that are at most "
                f"{recipe.max_joint_age_ms:g} ms older: is robot profile {recipe.profile} too slow?"
            )
        return np.stack(images), np.stack(joints)

    def _frames(self, camera: FrontCamera) -> Iterator[CameraFrame]:
        for stamp_ns, snapshot in self.scenes:
            yield camera_frame(camera.render(snapshot), stamp_ns, self.settings.profile.camera)


@dataclass(frozen=True)
class SceneTruth:
    """What only simulation knows of a picture; arrays are float32."""

    depth: NDArray[np.float32]
    """``(grid, grid)`` mean distance along the camera's axis, m."""
    points: NDArray[np.float32]
    """``(grid, grid, 3)`` mean place in the robot's frame, m."""
    segments: NDArray[np.float32]
    """``(grid, grid, classes)`` share of each patch that a class covers."""
    centres: NDArray[np.float32]
    """As of :func:`svam_train.episodes.scene_truth.centres_of`."""


def scene_truth(camera: FrontCamera, snapshot: SceneSnapshot, recipe: RecordingRecipe) -> SceneTruth:
    """The truth of the network's view, averaged over patches."""
    depth, points = camera.render_geometry(snapshot)
    seen = camera.render_segmentation(snapshot)
    classes = _to_patches(seen, recipe)
    shares = [(classes == int(member)).mean(axis=2) for member in SceneClass]
    return SceneTruth(
        depth=_to_patches(depth, recipe).mean(axis=2, dtype=np.float32),
        points=_to_patches(points, recipe).mean(axis=2, dtype=np.float32),
        segments=np.stack(shares, axis=-1).astype(np.float32),
        centres=centres_of(crop_picture(seen, recipe.image), crop_picture(points, recipe.image)),
    )


def _to_patches(picture: NDArray[np.generic], recipe: RecordingRecipe) -> NDArray[np.generic]:
    """``(h, w, ...)`` -> ``(grid, grid, pixels of a patch, ...)``, cropped as the network's image is."""
    picture, grid = crop_picture(picture, recipe.image), recipe.grid
    rows, columns = (length // grid for length in picture.shape[:2])
    if (rows * grid, columns * grid) != picture.shape[:2]:
        raise ValueError(
            f"a picture of {picture.shape[:2]} pixels does not divide into {grid} x {grid} patches"
        )
    patches = picture.reshape(grid, rows, grid, columns, *picture.shape[2:]).swapaxes(1, 2)
    return patches.reshape(grid, grid, rows * columns, *picture.shape[2:])
