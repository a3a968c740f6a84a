"""Pictures of the scene: colour as the robot's front camera sees it, true depth, and classes.

A camera owns its OpenGL context and its copy of the scene, so that it can live in another thread
than the physics. Contexts belong to the thread that made them: one camera per thread, made there.
"""

from __future__ import annotations

from enum import IntEnum
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svam_ros.simulation.cobot_simulation import SceneSnapshot
from svam_ros.simulation.mujoco_loading import MISSING_LIBRARIES_ADVICE, mujoco
from svam_ros.simulation.scene_model import CAMERA_NAME
from svam_ros.simulation.soft_shadows import add_soft_shadows
from svam_ros.simulation.tasks import task_model
from svam_ros.types import ImageArray


class RenderingUnavailableError(RuntimeError):
    """No OpenGL context can be made here; the text says which packages to install."""


class SceneClass(IntEnum):
    """What a pixel shows; the numbers are part of data sets and never change."""

    BACKGROUND = 0
    TABLE = 1
    LEFT_ARM = 2
    RIGHT_ARM = 3
    POT = 4
    CUBE = 5


_CLASS_OF_PREFIX = {
    "left": SceneClass.LEFT_ARM,
    "right": SceneClass.RIGHT_ARM,
    "pot": SceneClass.POT,
    "cube": SceneClass.CUBE,
}


class FrontCamera:
    """Renders snapshots of any task.

    Args:
        width: pixels.
        height: pixels.
        view: name of the camera in the scene.

    Raises:
        RenderingUnavailableError: no OpenGL context can be made.
    """

    def __init__(self, width: int = 640, height: int = 480, view: str = CAMERA_NAME) -> None:
        self.width, self.height = width, height
        self._view = view
        self._scenes: dict[str, tuple[Any, Any, NDArray[np.uint8]]] = {}
        # Made now rather than at the first picture: who has no OpenGL shall learn it at the start.
        self._scene("lift_pot")

    def render(self, snapshot: SceneSnapshot) -> ImageArray:
        """``(height, width, 3)`` uint8 RGB."""
        renderer = self._prepared(snapshot)
        add_soft_shadows(renderer.scene, renderer.model, self._scene(snapshot.task)[1])
        picture: ImageArray = renderer.render()
        return picture

    def render_depth(self, snapshot: SceneSnapshot) -> NDArray[np.float32]:
        """``(height, width)`` float32: metres along the camera's axis, true to the scene."""
        renderer = self._prepared(snapshot)
        renderer.enable_depth_rendering()
        try:
            depth: NDArray[np.float32] = renderer.render()
        finally:
            renderer.disable_depth_rendering()
        return depth

    def render_segmentation(self, snapshot: SceneSnapshot) -> NDArray[np.uint8]:
        """``(height, width)`` uint8 values of :class:`SceneClass`."""
        renderer = self._prepared(snapshot)
        renderer.enable_segmentation_rendering()
        try:
            geoms = renderer.render()[..., 0]
        finally:
            renderer.disable_segmentation_rendering()
        # Index -1 is a pixel without a geom: it picks the last entry, which is the background.
        classes: NDArray[np.uint8] = self._scenes[snapshot.task][2][geoms]
        return classes

    def close(self) -> None:
        """Free the OpenGL contexts; call it in the thread that made the camera."""
        for renderer, _, _ in self._scenes.values():
            renderer.close()
        self._scenes.clear()

    def __enter__(self) -> FrontCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepared(self, snapshot: SceneSnapshot) -> Any:
        renderer, data, _ = self._scene(snapshot.task)
        data.qpos[:] = snapshot.generalised_positions
        mujoco.mj_kinematics(renderer.model, data)
        mujoco.mj_camlight(renderer.model, data)
        renderer.update_scene(data, self._view)
        return renderer

    def _scene(self, task: str) -> tuple[Any, Any, NDArray[np.uint8]]:
        if task not in self._scenes:
            model = task_model(task)
            self._scenes[task] = (self._make_renderer(model), mujoco.MjData(model), _classes_of_geoms(model))
        return self._scenes[task]

    def _make_renderer(self, model: Any) -> Any:
        # MuJoCo and PyOpenGL fail in many ways (ImportError, AttributeError, RuntimeError, GL's own
        # errors) where libraries are missing; all mean the same to the caller.
        try:
            return mujoco.Renderer(model, self.height, self.width)
        except ValueError:
            raise
        except Exception as error:
            raise RenderingUnavailableError(
                f"no OpenGL context can be made ({error}). On Debian or Ubuntu: {MISSING_LIBRARIES_ADVICE}"
            ) from error


def _classes_of_geoms(model: Any) -> NDArray[np.uint8]:
    classes = np.full(model.ngeom + 1, SceneClass.BACKGROUND, dtype=np.uint8)
    for geom in range(model.ngeom):
        body = model.body(int(model.geom_bodyid[geom])).name
        if model.geom(geom).name.startswith("table"):
            classes[geom] = SceneClass.TABLE
        else:
            classes[geom] = _CLASS_OF_PREFIX.get(body.split("_")[0], SceneClass.BACKGROUND)
    return classes
