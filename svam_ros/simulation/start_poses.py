"""Where the objects of a scene start.

A task's own scene holds what the task needs. A shared scene allows several tasks, and is drawn alike
whichever of them is asked for: only the instruction says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from svam_ros.simulation.pouring_objects import bead_positions_in_cup
from svam_ros.simulation.task_objects import CUBE_SIDE_M


@dataclass(frozen=True)
class ObjectPose:
    """Where a free object starts: position of its origin and turn about the vertical."""

    position_m: tuple[float, float, float]
    yaw_rad: float


StartPoses = dict[str, ObjectPose]
"""By free body; these bodies are all that is on the table."""
Draw = Callable[[np.random.Generator], StartPoses]


def draw_pot(rng: np.random.Generator) -> StartPoses:
    """A pot in the middle, a handle to each arm."""
    x, y = 0.37 + rng.uniform(-0.06, 0.06), rng.uniform(-0.08, 0.08)
    return {"pot": ObjectPose((x, y, 0.0), float(rng.uniform(-0.2, 0.2)))}


def draw_pot_and(cube: str) -> Draw:
    """A pot in the middle, handles fore and aft, and the body ``cube`` to its left or right."""
    return partial(_draw_pot_and_cube, cube)


def draw_cup_and_bowl(rng: np.random.Generator) -> StartPoses:
    """A cup full of beads in front of one arm, and a bowl towards the middle."""
    side = _side(rng)
    bowl = (0.39 + rng.uniform(-0.03, 0.03), side * (0.085 + rng.uniform(-0.025, 0.025)), 0.0)
    return _full_cup(rng, side, 0.25) | {"bowl": ObjectPose(bowl, float(rng.uniform(-0.2, 0.2)))}


def draw_pot_and_cubes(rng: np.random.Generator) -> StartPoses:
    """The shared scene of ``lift_pot``, ``place_to_pot`` and ``place_to_pot_hard``."""
    pot = (0.39 + rng.uniform(-0.04, 0.04), rng.uniform(-0.02, 0.02), 0.0)
    side = _side(rng)
    return {
        "pot": ObjectPose(pot, float(rng.uniform(-0.2, 0.2))),
        "cube": _cube(rng, side),
        "glass_cube": _cube(rng, -side),
    }


def draw_pot_cup_and_bowl(rng: np.random.Generator) -> StartPoses:
    """The shared scene of ``pour`` and ``lift_pot``: the pot off the middle, the cup beyond the bowl."""
    side = _side(rng)
    pot = (0.38 + rng.uniform(-0.04, 0.04), -side * (0.065 + rng.uniform(-0.015, 0.015)), 0.0)
    bowl = (0.36 + rng.uniform(-0.015, 0.015), side * (0.185 + rng.uniform(-0.008, 0.008)), 0.0)
    return {
        "pot": ObjectPose(pot, float(rng.uniform(-0.15, 0.15))),
        **_full_cup(rng, side, 0.325),
        "bowl": ObjectPose(bowl, float(rng.uniform(-0.2, 0.2))),
    }


def draw_any_with_pot(rng: np.random.Generator) -> StartPoses:
    """Either shared scene: ``lift_pot`` is possible in both."""
    return draw_pot_and_cubes(rng) if rng.random() < 0.6 else draw_pot_cup_and_bowl(rng)


def _side(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _cube(rng: np.random.Generator, side: float) -> ObjectPose:
    """To the side of a pot whose handle reaches out there: a gripper passes between them."""
    x, y = 0.33 + rng.uniform(-0.05, 0.05), side * (0.224 + rng.uniform(-0.03, 0.03))
    return ObjectPose((x, y, CUBE_SIDE_M / 2), float(rng.uniform(-0.25, 0.25)))


def _draw_pot_and_cube(cube: str, rng: np.random.Generator) -> StartPoses:
    side = _side(rng)
    x, y = 0.33 + rng.uniform(-0.05, 0.05), side * (0.20 + rng.uniform(-0.045, 0.045))
    pot = (0.42 + rng.uniform(-0.02, 0.02), rng.uniform(-0.03, 0.03), 0.0)
    return {
        "pot": ObjectPose(pot, float(np.pi / 2 + rng.uniform(-0.2, 0.2))),
        cube: ObjectPose((x, y, CUBE_SIDE_M / 2), float(rng.uniform(-0.25, 0.25))),
    }


def _full_cup(rng: np.random.Generator, side: float, distance_m: float) -> StartPoses:
    """Cup and beads; the cup ``distance_m`` to the side."""
    x, y = 0.46 + rng.uniform(-0.015, 0.015), side * (distance_m + rng.uniform(-0.015, 0.015))
    yaw = float(rng.uniform(-np.pi, np.pi))
    cos, sin = float(np.cos(yaw)), float(np.sin(yaw))
    poses = {"cup": ObjectPose((x, y, 0.0), yaw)}
    for number, (along, across, height) in enumerate(bead_positions_in_cup()):
        place = (x + cos * along - sin * across, y + sin * along + cos * across, height)
        poses[f"bead{number}"] = ObjectPose(place, 0.0)
    return poses
