"""Pot and cube from primitive shapes: a ring of thin boxes is a concave container without a mesh."""

from __future__ import annotations

import math
from typing import Any

from svam_ros.simulation import palette
from svam_ros.simulation.collision_bits import COLLISION_BITS
from svam_ros.simulation.mujoco_loading import mujoco

POT_RADIUS_M = 0.075
"""To the middle of the wall."""
POT_HEIGHT_M = 0.08
POT_HANDLE_REACH_M = 0.128
"""From the pot's axis to the middle of a handle's bar."""
POT_HANDLE_HEIGHT_M = 0.058
CUBE_SIDE_M = 0.04

_WALL_HALF_THICKNESS_M = 0.003
_WALL_PIECES = 20
_HANDLE_HALF_LENGTH_M = 0.032
_HANDLE_RADIUS_M = 0.0065


def add_pot(spec: Any) -> None:
    """A free body ``pot`` standing on its origin, with handles along its +y and -y axes."""
    body = spec.worldbody.add_body(name="pot")
    body.add_freejoint(name="pot")
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(0, 0, 0.004),
        size=(POT_RADIUS_M, 0.004, 0),
        rgba=palette.POT_INSIDE,
        mass=0.12,
        **solid(),
    )
    for piece in range(_WALL_PIECES):
        _add_wall_piece(body, 2.0 * math.pi * piece / _WALL_PIECES)
    for side in (1.0, -1.0):
        _add_handle(body, side)


def add_cube(spec: Any, name: str, colour: palette.Colour) -> None:
    """A free body ``name`` whose origin is its centre."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    half = CUBE_SIDE_M / 2
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(half, half, half),
        rgba=colour,
        mass=0.05,
        condim=4,
        **solid(),
    )


def solid(kind: str = "object") -> dict[str, Any]:
    """Contact properties of a geom that collides as ``kind`` of ``COLLISION_BITS`` does."""
    contype, conaffinity = COLLISION_BITS[kind]
    return {
        "contype": contype,
        "conaffinity": conaffinity,
        "friction": (1.0, 0.01, 0.001),
        "solref": (0.006, 1.0),
    }


def _add_wall_piece(body: Any, angle_rad: float) -> None:
    half_width = POT_RADIUS_M * math.tan(math.pi / _WALL_PIECES) + _WALL_HALF_THICKNESS_M * 0.35
    quaternion = (math.cos(angle_rad / 2), 0.0, 0.0, math.sin(angle_rad / 2))

    def board(
        radius: float, half_thickness: float, bottom: float, top: float, colour: Any, hard: bool
    ) -> None:
        contact = solid() if hard else {"contype": 0, "conaffinity": 0}
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(radius * math.cos(angle_rad), radius * math.sin(angle_rad), (bottom + top) / 2),
            quat=quaternion,
            size=(half_thickness, half_width, (top - bottom) / 2),
            rgba=colour,
            mass=0.2 / _WALL_PIECES if hard else 0.0,
            **contact,
        )

    thickness = _WALL_HALF_THICKNESS_M
    board(POT_RADIUS_M, thickness, 0.0, POT_HEIGHT_M - 0.004, palette.POT_OUTSIDE, hard=True)
    board(POT_RADIUS_M - thickness, 0.0006, 0.008, POT_HEIGHT_M - 0.004, palette.POT_INSIDE, hard=False)
    board(POT_RADIUS_M, thickness * 1.25, POT_HEIGHT_M - 0.004, POT_HEIGHT_M, palette.POT_HANDLE, hard=False)


def _add_handle(body: Any, side: float) -> None:
    bar_y, z = side * POT_HANDLE_REACH_M, POT_HANDLE_HEIGHT_M
    points = [
        ((-_HANDLE_HALF_LENGTH_M, bar_y, z), (_HANDLE_HALF_LENGTH_M, bar_y, z)),
        ((-_HANDLE_HALF_LENGTH_M, bar_y, z), (-_HANDLE_HALF_LENGTH_M, side * POT_RADIUS_M * 0.93, z)),
        ((_HANDLE_HALF_LENGTH_M, bar_y, z), (_HANDLE_HALF_LENGTH_M, side * POT_RADIUS_M * 0.93, z)),
    ]
    for start, end in points:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=(*start, *end),
            size=(_HANDLE_RADIUS_M, 0, 0),
            rgba=palette.POT_HANDLE,
            mass=0.01,
            condim=4,
            **solid(),
        )
