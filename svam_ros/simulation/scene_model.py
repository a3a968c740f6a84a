"""The room: table, floor, lights and the front camera, with the arms and a task's objects in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import yaml

from svam_ros.cobot import ARM_NAMES, CalibrationError, Cobot, load_cobot
from svam_ros.shipped_files import shipped_directory
from svam_ros.simulation.cobot_model import ArmBuilder
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.room import add_room
from svam_ros.simulation.soft_shadows import add_shadow_material
from svam_ros.types import FloatArray

PHYSICS_STEP_S = 0.0025
"""Two steps make one period of the 200 Hz joint states."""

CAMERA_NAME = "front"
CAMERA_POSITION_M = (-0.06, 0.0, 0.78)
CAMERA_PITCH_DOWN_DEG = 59.0
"""The camera hangs between the arms and looks forward and down on the work area."""


def vertical_field_of_view_deg() -> float:
    """From ``calibration/front_camera.yaml``: the picture's height and the focal length ``fy``.

    Raises:
        CalibrationError: the file has no usable ``image_height`` and ``camera_matrix``.
    """
    path = shipped_directory("calibration") / "front_camera.yaml"
    try:
        intrinsics = yaml.safe_load(path.read_text(encoding="utf-8"))
        height, focal = float(intrinsics["image_height"]), float(intrinsics["camera_matrix"]["data"][4])
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CalibrationError(
            f"{path}: image_height and camera_matrix.data[4] are needed: {error}"
        ) from error
    if not (height > 0 and focal > 0):
        raise CalibrationError(f"{path}: image_height and fy must be above 0, got {height} and {focal}")
    return math.degrees(2.0 * math.atan(height / (2.0 * focal)))


def build_scene(add_objects: Callable[[Any], None], cobot: Cobot | None = None) -> Any:
    """Compile the ``MjModel`` of the Cobot at its table with the objects that ``add_objects`` adds."""
    cobot = cobot or load_cobot()
    spec = mujoco.MjSpec()
    spec.modelname = "cobot"
    spec.compiler.degree = False
    _set_options(spec)
    add_room(spec)
    add_shadow_material(spec)
    _add_camera(spec)
    for arm in ARM_NAMES:
        ArmBuilder(spec, arm, cobot).add()
    add_objects(spec)
    return spec.compile()


def _set_options(spec: Any) -> None:
    option = spec.option
    option.timestep = PHYSICS_STEP_S
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = 1920, 1440
    # Multisampling and shadows cost a software renderer five to twelve times the drawing itself.
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 0
    # All lights are directional: flat faces need no subdivision to be lit right.
    visual.quality.numquads, visual.quality.numslices, visual.quality.numstacks = 1, 20, 10
    visual.headlight.ambient = (0.34, 0.34, 0.35)
    visual.headlight.diffuse = (0.22, 0.22, 0.22)
    visual.headlight.specular = (0.05, 0.05, 0.05)
    visual.map.znear, visual.map.zfar = 0.02, 10.0
    spec.stat.extent, spec.stat.center = 1.0, (0.3, 0.0, 0.0)


def camera_rotation() -> FloatArray:
    """``(3, 3)``: columns are the picture's right, up and backward directions in the world."""
    pitch = math.radians(CAMERA_PITCH_DOWN_DEG)
    backward = (-math.cos(pitch), 0.0, math.sin(pitch))
    right = (0.0, -1.0, 0.0)
    return np.column_stack([right, np.cross(backward, right), backward])


def _add_camera(spec: Any) -> None:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, camera_rotation().flatten())
    spec.worldbody.add_camera(
        name=CAMERA_NAME, pos=CAMERA_POSITION_M, quat=quaternion, fovy=vertical_field_of_view_deg()
    )


@lru_cache(maxsize=1)
def shipped_cobot() -> Cobot:
    """The embodiment of ``calibration/cobot.yaml``, read once."""
    return load_cobot()
