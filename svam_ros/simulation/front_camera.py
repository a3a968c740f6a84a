"""Pictures of the scene: colour as the robot's front camera sees it, true depth, and classes.

A camera owns its OpenGL context and its copy of the scene, so that it can live in another thread
than the physics. Contexts belong to the thread that made them: one camera per thread, made there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import ARM_NAMES
from svam_ros.simulation.appearance import DressedModel
from svam_ros.simulation.cobot_simulation import SceneSnapshot
from svam_ros.simulation.mujoco_loading import MISSING_LIBRARIES_ADVICE, mujoco
from svam_ros.simulation.scene_model import CAMERA_NAME
from svam_ros.simulation.scene_objects import kind_of, scene_with
from svam_ros.simulation.soft_shadows import add_soft_shadows
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
    GLASS_CUBE = 6
    CUP = 7
    BOWL = 8
    BEADS = 9


_CLASS_OF_KIND = {
    "pot": SceneClass.POT,
    "cube": SceneClass.CUBE,
    "glass_cube": SceneClass.GLASS_CUBE,
    "cup": SceneClass.CUP,
    "bowl": SceneClass.BOWL,
    "bead": SceneClass.BEADS,
}
_CLASS_OF_ARM = dict(zip(ARM_NAMES, (SceneClass.LEFT_ARM, SceneClass.RIGHT_ARM), strict=True))


@dataclass(frozen=True)
class _Scene:
    """What a camera keeps of a scene."""

    dressed: DressedModel
    data: Any
    renderer: Any
    classes: NDArray[np.uint8]
    """``(geoms + 1,)`` by geom; the last is the background."""


class FrontCamera:
    """Renders snapshots of any scene, in the appearance that they carry.

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
        self._scenes: dict[tuple[str, ...], _Scene] = {}
        # Made now rather than at the first picture: who has no OpenGL shall learn it at the start.
        self._scene(("pot",))

    def render(self, snapshot: SceneSnapshot) -> ImageArray:
        """``(height, width, 3)`` uint8 RGB."""
        scene = self._prepared(snapshot)
        add_soft_shadows(scene.renderer.scene, scene.dressed.model, scene.data)
        picture: ImageArray = scene.renderer.render()
        return picture

    def render_depth(self, snapshot: SceneSnapshot) -> NDArray[np.float32]:
        """``(height, width)`` float32: metres along the camera's axis, true to the scene."""
        renderer = self._prepared(snapshot).renderer
        renderer.enable_depth_rendering()
        try:
            depth: NDArray[np.float32] = renderer.render()
        finally:
            renderer.disable_depth_rendering()
        return depth

    def render_points(self, snapshot: SceneSnapshot) -> NDArray[np.float32]:
        """``(height, width, 3)`` float32: where in the robot's frame each pixel's surface is, in metres."""
        return self.render_geometry(snapshot)[1]

    def render_geometry(self, snapshot: SceneSnapshot) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """:meth:`render_depth` and :meth:`render_points` of one drawing."""
        depth, scene = self.render_depth(snapshot), self._scene(snapshot.kinds)
        camera = scene.dressed.model.camera(self._view).id
        slope = 2.0 * np.tan(np.deg2rad(scene.dressed.model.cam_fovy[camera]) / 2.0) / self.height
        across = (np.arange(self.width) + 0.5 - self.width / 2.0) * slope
        up = (self.height / 2.0 - 0.5 - np.arange(self.height)) * slope
        rays = np.stack([*np.meshgrid(across, up), np.full(depth.shape, -1.0)], axis=-1)
        to_robot = scene.data.cam_xmat[camera].reshape(3, 3).T
        points: NDArray[np.float64] = rays * depth[..., None] @ to_robot + scene.data.cam_xpos[camera]
        return depth, points.astype(np.float32)

    def render_segmentation(self, snapshot: SceneSnapshot) -> NDArray[np.uint8]:
        """``(height, width)`` uint8 values of :class:`SceneClass`."""
        scene = self._prepared(snapshot)
        renderer = scene.renderer
        renderer.enable_segmentation_rendering()
        try:
            geoms = renderer.render()[..., 0]
        finally:
            renderer.disable_segmentation_rendering()
        # Index -1 is a pixel without a geom: it picks the last entry, which is the background.
        classes: NDArray[np.uint8] = scene.classes[geoms]
        return classes

    def close(self) -> None:
        """Free the OpenGL contexts; call it in the thread that made the camera."""
        for scene in self._scenes.values():
            scene.renderer.close()
        self._scenes.clear()

    def __enter__(self) -> FrontCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepared(self, snapshot: SceneSnapshot) -> _Scene:
        scene = self._scene(snapshot.kinds)
        model, data = scene.dressed.model, scene.data
        scene.dressed.wear(snapshot.appearance)
        data.qpos[:] = snapshot.generalised_positions
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        scene.renderer.update_scene(data, self._view)
        return scene

    def _scene(self, kinds: tuple[str, ...]) -> _Scene:
        if kinds not in self._scenes:
            dressed = DressedModel(scene_with(kinds))
            model = dressed.model
            self._scenes[kinds] = _Scene(
                dressed, mujoco.MjData(model), self._make_renderer(model), _classes_of_geoms(model)
            )
        return self._scenes[kinds]

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
            known = _CLASS_OF_ARM | _CLASS_OF_KIND
            classes[geom] = known.get(body.split("_")[0], known.get(kind_of(body), SceneClass.BACKGROUND))
    return classes
