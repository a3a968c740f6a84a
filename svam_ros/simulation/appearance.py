"""How a scene looks beyond what is in it: light, colours, and where exactly the camera hangs.

None of it touches the physics. A policy that was trained under many appearances does not depend on any.
"""

from __future__ import annotations

import colorsys
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.scene_model import CAMERA_NAME
from svam_ros.simulation.scene_objects import OBJECT_KINDS, kind_of
from svam_ros.types import FloatArray

CAMERA_SHIFT_M = 0.005
CAMERA_TURN_DEG = 0.5
"""How far, along and about each axis, a mount lets the camera be from where the calibration has it: half a
degree moves what lies a metre away by 9 mm, about a pixel of what the tiny network sees."""

_TABLE = "table"
_FLOOR = "floor"


@dataclass(frozen=True)
class Tint:
    """A change of a colour that leaves its name: red stays red."""

    hue_turns: float = 0.0
    """Added to the hue, in turns of the colour circle."""
    saturation: float = 1.0
    """Factor."""
    value: float = 1.0
    """Factor."""

    def apply(self, rgb: FloatArray) -> tuple[float, float, float]:
        """``(3,)`` in 0 to 1, changed."""
        hue, saturation, value = colorsys.rgb_to_hsv(*(float(channel) for channel in rgb))
        return colorsys.hsv_to_rgb(
            (hue + self.hue_turns) % 1.0, min(1.0, saturation * self.saturation), min(1.0, value * self.value)
        )


@dataclass(frozen=True)
class Appearance:
    """One way a scene can look; the default is the nominal one."""

    brightness: float = 1.0
    """Factor on all light."""
    light_turn_rad: tuple[float, float] = (0.0, 0.0)
    """By how much the lamps are turned about the vertical, and about the y axis."""
    tints: Mapping[str, Tint] = field(default_factory=dict)
    """By kind of object, or ``"table"`` or ``"floor"``; what is not named keeps its colour."""
    camera_shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the front camera, along the robot's axes."""
    camera_turn_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the front camera, about its own axes: right, up, backward."""


NOMINAL = Appearance()
"""The look that the calibration describes."""


def draw_appearance(seed: int) -> Appearance:
    """An appearance within what a robot meets: other lamps, other makes of the objects, its own mount."""
    rng = np.random.default_rng((seed, 2))
    turn = math.radians(CAMERA_TURN_DEG)
    tints = {_TABLE: _draw_tint(rng, hue=0.04, saturation=0.5, value=0.2)}
    tints[_FLOOR] = _draw_tint(rng, hue=0.1, saturation=0.5, value=0.3)
    tints |= {kind: _draw_tint(rng, hue=0.02, saturation=0.15, value=0.15) for kind in OBJECT_KINDS}
    shift, angles = rng.uniform(-CAMERA_SHIFT_M, CAMERA_SHIFT_M, 3), rng.uniform(-turn, turn, 3)
    return Appearance(
        brightness=float(rng.uniform(0.75, 1.2)),
        light_turn_rad=(float(rng.uniform(-math.pi, math.pi)), float(rng.uniform(-0.35, 0.35))),
        tints=tints,
        camera_shift_m=(float(shift[0]), float(shift[1]), float(shift[2])),
        camera_turn_rad=(float(angles[0]), float(angles[1]), float(angles[2])),
    )


def _draw_tint(rng: np.random.Generator, *, hue: float, saturation: float, value: float) -> Tint:
    """Up to ``hue`` turns off, and up to the shares ``saturation`` and ``value`` more or less of each."""
    off = rng.uniform(-1.0, 1.0, 3) * (hue, saturation, value)
    return Tint(float(off[0]), float(1.0 + off[1]), float(1.0 + off[2]))


class DressedModel:
    """A model of its own for a renderer, that can be made to look another way.

    Args:
        shared: the scene's ``MjModel``; it is copied and stays as it is.
    """

    def __init__(self, shared: Any) -> None:
        self._nominal = shared
        self.model: Any = copy.copy(shared)
        """``MjModel``; differs from the shared one in lights, colours and the front camera only."""
        self._groups = [_group_of(shared, geom) for geom in range(shared.ngeom)]
        self._worn = NOMINAL

    def wear(self, appearance: Appearance) -> None:
        """Make the model look as ``appearance`` says, whatever it looked like before."""
        if appearance == self._worn:
            return
        self._colour(appearance.tints)
        self._light(appearance)
        self._move_camera(appearance)
        self._worn = appearance

    def _colour(self, tints: Mapping[str, Tint]) -> None:
        self.model.geom_rgba[:] = self._nominal.geom_rgba
        for geom, group in enumerate(self._groups):
            if group in tints:
                self.model.geom_rgba[geom, :3] = tints[group].apply(self._nominal.geom_rgba[geom, :3])

    def _light(self, appearance: Appearance) -> None:
        about_vertical, about_y = appearance.light_turn_rad
        turn = np.zeros(4)
        mujoco.mju_mulQuat(turn, _quaternion((0.0, 0.0, about_vertical)), _quaternion((0.0, about_y, 0.0)))
        for lamp, direction in zip(self.model.light_dir, self._nominal.light_dir, strict=True):
            mujoco.mju_rotVecQuat(lamp, direction, turn)
        self.model.light_diffuse[:] = appearance.brightness * self._nominal.light_diffuse
        for name in ("ambient", "diffuse"):
            nominal = np.array(getattr(self._nominal.vis.headlight, name))
            setattr(self.model.vis.headlight, name, appearance.brightness * nominal)

    def _move_camera(self, appearance: Appearance) -> None:
        camera = self._nominal.camera(CAMERA_NAME).id
        self.model.cam_pos[camera] = self._nominal.cam_pos[camera] + appearance.camera_shift_m
        turn = _quaternion(appearance.camera_turn_rad)
        mujoco.mju_mulQuat(self.model.cam_quat[camera], self._nominal.cam_quat[camera], turn)


def _group_of(model: Any, geom: int) -> str:
    """What of :attr:`Appearance.tints` a geom follows; arms follow nothing."""
    name, body = model.geom(geom).name, model.body(int(model.geom_bodyid[geom])).name
    if body == "world":
        return _TABLE if name.startswith(_TABLE) else _FLOOR
    return kind_of(body)


def _quaternion(rotation_rad: tuple[float, float, float]) -> FloatArray:
    """``(4,)`` of a rotation vector."""
    quaternion = np.array([1.0, 0.0, 0.0, 0.0])
    mujoco.mju_quatIntegrate(quaternion, np.array(rotation_rad), 1.0)
    return quaternion
