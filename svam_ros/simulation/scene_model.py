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


OVERVIEW_NAME = "overview"
"""A second view for people: the whole robot from its right front. No policy ever sees it."""
_OVERVIEW_POSITION_M = (1.02, -0.78, 0.70)
_OVERVIEW_LOOKS_AT_M = (0.16, 0.0, 0.08)
_OVERVIEW_FOVY_DEG = 40.0


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
    _add_cameras(spec)
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


def _add_cameras(spec: Any) -> None:
    pitch = math.radians(CAMERA_PITCH_DOWN_DEG)
    forward = np.array([math.cos(pitch), 0.0, -math.sin(pitch)])
    spec.worldbody.add_camera(
        name=CAMERA_NAME,
        pos=CAMERA_POSITION_M,
        quat=_looking_along(forward),
        fovy=vertical_field_of_view_deg(),
    )
    spec.worldbody.add_camera(
        name=OVERVIEW_NAME,
        pos=_OVERVIEW_POSITION_M,
        quat=_looking_along(np.subtract(_OVERVIEW_LOOKS_AT_M, _OVERVIEW_POSITION_M)),
        fovy=_OVERVIEW_FOVY_DEG,
    )


def _looking_along(direction: FloatArray) -> FloatArray:
    """Quaternion of a level camera; a camera's axes are right, up and backward."""
    backward = -direction / np.linalg.norm(direction)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.column_stack([right, np.cross(backward, right), backward]).flatten())
    return quaternion


@lru_cache(maxsize=1)
def shipped_cobot() -> Cobot:
    """The embodiment of ``calibration/cobot.yaml``, read once."""
    return load_cobot()
