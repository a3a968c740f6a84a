"""Floor, table and lights, drawn from plain boxes.

Textures would be the obvious way, but filtering them takes a software renderer as long as
everything else together; boards and tiles of one colour each look the same and cost next to nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from svam_ros.simulation import palette
from svam_ros.simulation.collision_bits import COLLISION_BITS
from svam_ros.simulation.mujoco_loading import mujoco

_TABLE_X_M = (-0.16, 0.76)
_TABLE_HALF_WIDTH_M = 0.72
_TABLE_THICKNESS_M = 0.04
_BOARDS = 8
_GAP_M = 0.0045

_FLOOR_Z_M = -0.75
_FLOOR_TILE_M = 0.5
_FLOOR_TILES_X = range(1, 5)
_FLOOR_TILES_Y = range(-3, 3)
"""Where the camera sees them there are dark tiles; further out the floor is plain."""

_LIGHTS = (
    # position, direction, brightness: from behind the left shoulder, a softer one from ahead right
    ((-0.6, 0.9, 1.8), (0.45, -0.5, -0.9), 0.42),
    ((0.9, -1.2, 1.6), (-0.4, 0.6, -0.7), 0.2),
)


def add_room(spec: Any) -> None:
    """Everything that stands still, but the arms and the camera."""
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=palette.SKY_HIGH[:3],
        rgb2=palette.SKY_LOW[:3],
        width=64,
        height=384,
    )
    _add_floor(spec.worldbody)
    _add_table(spec.worldbody)
    for position, direction, strength in _LIGHTS:
        spec.worldbody.add_light(
            pos=position,
            dir=direction,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            castshadow=False,
            diffuse=(strength,) * 3,
            specular=(0.12,) * 3,
        )


def _add_floor(world: Any) -> None:
    world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(6, 6, 6),
        pos=(0, 0, _FLOOR_Z_M),
        rgba=palette.FLOOR_LIGHT,
        contype=0,
        conaffinity=0,
    )
    for x, y in ((x, y) for x in _FLOOR_TILES_X for y in _FLOOR_TILES_Y if (x + y) % 2):
        centre = ((x + 0.5) * _FLOOR_TILE_M, (y + 0.5) * _FLOOR_TILE_M, _FLOOR_Z_M)
        _add_slab(world, "", centre, (_FLOOR_TILE_M / 2, _FLOOR_TILE_M / 2, 0.002), palette.FLOOR_DARK)


def _add_table(world: Any) -> None:
    """One invisible solid whose top is z = 0, and the boards that are seen."""
    contype, conaffinity = COLLISION_BITS["object"]
    length, middle = _TABLE_X_M[1] - _TABLE_X_M[0], sum(_TABLE_X_M) / 2
    size = (length / 2, _TABLE_HALF_WIDTH_M, _TABLE_THICKNESS_M / 2)
    solid = _add_slab(world, "table", (middle, 0.0, -size[2]), size, (0.0, 0.0, 0.0, 0.0))
    solid.contype, solid.conaffinity = contype, conaffinity
    solid.friction = (0.9, 0.01, 0.001)
    _add_slab(world, "table_core", (middle, 0.0, -size[2] - 0.001), size, palette.TABLE_EDGE)
    leg = (0.03, 0.03, -_FLOOR_Z_M / 2)
    for x, y in ((x, y) for x in _TABLE_X_M for y in (-1.0, 1.0)):
        corner = (middle + 0.85 * (x - middle), 0.9 * y * _TABLE_HALF_WIDTH_M, _FLOOR_Z_M / 2 - 0.002)
        _add_slab(world, "", corner, leg, palette.GRAPHITE)
    rng = np.random.default_rng(7)

    def mix(share: float) -> palette.Colour:
        pairs = zip(palette.TABLE_LIGHT, palette.TABLE_DARK, strict=True)
        red, green, blue, alpha = (light + (dark - light) * share for light, dark in pairs)
        return (red, green, blue, alpha)

    board_width = 2.0 * _TABLE_HALF_WIDTH_M / _BOARDS
    for board in range(_BOARDS):
        tone = rng.uniform(0.0, 0.5)
        left = -_TABLE_HALF_WIDTH_M + board * board_width
        _add_board(world, f"table_board{board}", (left, left + board_width - _GAP_M), mix(tone))


def _add_board(world: Any, name: str, sides_m: tuple[float, float], colour: palette.Colour) -> None:
    half_length = (_TABLE_X_M[1] - _TABLE_X_M[0]) / 2
    half = (half_length, (sides_m[1] - sides_m[0]) / 2, _TABLE_THICKNESS_M / 2)
    _add_slab(world, name, (sum(_TABLE_X_M) / 2, sum(sides_m) / 2, -half[2]), half, colour)


def _add_slab(world: Any, name: str, centre: Any, half_size: Any, colour: Any) -> Any:
    return world.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=centre,
        size=half_size,
        rgba=colour,
        contype=0,
        conaffinity=0,
    )
