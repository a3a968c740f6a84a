"""Cup, bowl and beads, from primitive shapes and cheap to simulate.

Beads touch without friction, which costs a third of the constraints: a heap of them pours the same, and
rolling, which friction would give them, is replaced by sliding with a drag that brings them to rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from svam_ros.simulation import palette
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.task_objects import solid

CUP_HEIGHT_M = 0.09
CUP_RADIUS_M = 0.029
"""Of the outside: a gripper opens to 0.07 m."""
BOWL_HEIGHT_M = 0.05
BOWL_RADIUS_M = 0.075
"""Of the rim, outside."""
BEAD_RADIUS_M = 0.0075
BEADS_PER_LAYER = 7
BEADS = 3 * BEADS_PER_LAYER

_CUP_PIECES = 12
_CUP_FLOOR_M = 0.006
_BOWL_PIECES = 14
_BOWL_FLOOR_M = 0.006
_BOWL_FLOOR_RADIUS_M = 0.05
_WALL_HALF_THICKNESS_M = 0.002
_CLEARANCE_M = 0.001
"""Walls end above the table: the floor disc alone stands on it, with a handful of contacts."""
_BEAD_MASS_KG = 0.002
_BEAD_DRAG = 0.004
"""N s/m: a bead on a level floor has lost two thirds of its speed after half a second."""


def add_cup(spec: Any) -> None:
    """A free body ``cup`` standing on its origin, open at the top."""
    body = spec.worldbody.add_body(name="cup")
    body.add_freejoint(name="cup")
    _add_disc(body, CUP_RADIUS_M, _CUP_FLOOR_M, palette.CUP_INSIDE, mass=0.03)
    middle = CUP_RADIUS_M - _WALL_HALF_THICKNESS_M
    for piece in range(_CUP_PIECES):
        turn = 2.0 * math.pi * piece / _CUP_PIECES
        _add_board(body, (middle, middle), CUP_HEIGHT_M, turn, _CUP_PIECES, ("cup_wall", palette.CUP))
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(0, 0, CUP_HEIGHT_M / 2 + _CLEARANCE_M),
        size=(CUP_RADIUS_M, CUP_HEIGHT_M / 2 - _CLEARANCE_M, 0),
        rgba=(0.0, 0.0, 0.0, 0.0),
        mass=0.02,
        condim=4,
        **solid("cup_grip"),
    )


def add_bowl(spec: Any) -> None:
    """A free body ``bowl`` standing on its origin, heavy enough to stay where it is."""
    body = spec.worldbody.add_body(name="bowl")
    body.add_freejoint(name="bowl")
    _add_disc(body, _BOWL_FLOOR_RADIUS_M, _BOWL_FLOOR_M, palette.BOWL_INSIDE, mass=0.3)
    radii = (_BOWL_FLOOR_RADIUS_M - _WALL_HALF_THICKNESS_M, BOWL_RADIUS_M - _WALL_HALF_THICKNESS_M)
    for piece in range(_BOWL_PIECES):
        turn = 2.0 * math.pi * piece / _BOWL_PIECES
        _add_board(body, radii, BOWL_HEIGHT_M, turn, _BOWL_PIECES, ("object", palette.BOWL))


def add_beads(spec: Any) -> None:
    """Free bodies ``bead0``, ``bead1``, ... whose origins are their centres."""
    for number in range(BEADS):
        body = spec.worldbody.add_body(name=f"bead{number}")
        body.add_joint(name=f"bead{number}", type=mujoco.mjtJoint.mjJNT_FREE, damping=(_BEAD_DRAG, 0.0, 0.0))
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=(BEAD_RADIUS_M, 0, 0),
            rgba=palette.BEAD,
            mass=_BEAD_MASS_KG,
            condim=1,
            priority=1,  # its contacts are as it says, whatever it touches
            **solid(),
        )


def bead_positions_in_cup() -> list[tuple[float, float, float]]:
    """Where the beads' centres start in the cup's frame: layers of one in six, each over the gaps below."""
    ring = 2.04 * BEAD_RADIUS_M
    positions = []
    for number in range(BEADS):
        layer, place = divmod(number, BEADS_PER_LAYER)
        height = _CUP_FLOOR_M + BEAD_RADIUS_M * (1.02 + 1.9 * layer)
        angle = math.pi / 3.0 * (place + layer / 2.0)
        radius = ring if place else 0.0
        positions.append((radius * math.cos(angle), radius * math.sin(angle), height))
    return positions


def _add_disc(body: Any, radius: float, height: float, colour: palette.Colour, mass: float) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(0, 0, height / 2),
        size=(radius, height / 2, 0),
        rgba=colour,
        mass=mass,
        **solid(),
    )


def _add_board(
    body: Any,
    radii_m: tuple[float, float],
    height_m: float,
    turn_rad: float,
    pieces: int,
    kind_and_colour: tuple[str, palette.Colour],
) -> None:
    """One piece of a wall, from the radius at its foot to the radius at its rim."""
    kind, colour = kind_and_colour
    foot, rim = radii_m
    rise = height_m - _CLEARANCE_M
    lean = math.atan2(rim - foot, rise)
    half_length = math.hypot(rim - foot, rise) / 2
    middle = (foot + rim) / 2
    half_width = (max(radii_m) + _WALL_HALF_THICKNESS_M) * math.tan(math.pi / pieces)
    turned = np.zeros(4)
    about_vertical = np.array([math.cos(turn_rad / 2), 0.0, 0.0, math.sin(turn_rad / 2)])
    outwards = np.array([math.cos(lean / 2), 0.0, math.sin(lean / 2), 0.0])
    mujoco.mju_mulQuat(turned, about_vertical, outwards)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(middle * math.cos(turn_rad), middle * math.sin(turn_rad), (height_m + _CLEARANCE_M) / 2),
        quat=turned,
        size=(_WALL_HALF_THICKNESS_M, half_width, half_length),
        rgba=colour,
        mass=0.05 / pieces,
        **solid(kind),
    )
