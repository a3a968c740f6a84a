"""The tasks: what lies on the table, what is asked for, and when a person would call it done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np

from svam_ros.cobot import ARM_NAMES
from svam_ros.simulation.scene_model import build_scene
from svam_ros.simulation.task_objects import CUBE_SIDE_M, POT_HEIGHT_M, POT_RADIUS_M, add_cube, add_pot
from svam_ros.types import FloatArray

SUCCESS_HOLD_S = 0.3
"""How long a task's predicate has to hold in a row before the task counts as done."""


@dataclass(frozen=True)
class ObjectPose:
    """Where a free object starts: position of its origin and turn about the vertical."""

    position_m: tuple[float, float, float]
    yaw_rad: float


@dataclass(frozen=True)
class Task:
    """One thing to do."""

    name: str
    instruction: str
    """The sentence that the policy is given."""
    add_objects: Callable[[Any], None]
    """Adds the task's free bodies to a model specification."""
    draw_poses: Callable[[np.random.Generator], dict[str, ObjectPose]]
    """Start poses of the free bodies."""
    is_done: Callable[[Any, Any], bool]
    """Whether the scene (``MjModel``, ``MjData``) is as asked for at this moment."""


class UnknownTaskError(ValueError):
    """No task has this name; the text lists those there are."""


def find_task(name: str) -> Task:
    """The task called ``name``.

    Raises:
        UnknownTaskError: there is none.
    """
    if name not in TASKS:
        hint = "".join(f", did you mean '{match}'?" for match in get_close_matches(name, TASKS, 1))
        raise UnknownTaskError(f"unknown task '{name}'{hint} Known: {', '.join(TASKS)}")
    return TASKS[name]


@cache
def task_model(name: str) -> Any:
    """The compiled ``MjModel`` of a task: built once, never changed, safe to share between threads."""
    return build_scene(find_task(name).add_objects)


def up_component(data: Any, body: str) -> float:
    """Cosine of the tilt of a body's z axis from the vertical."""
    return float(data.body(body).xmat[8])


def _draw_lift_pot(rng: np.random.Generator) -> dict[str, ObjectPose]:
    x, y = 0.37 + rng.uniform(-0.06, 0.06), rng.uniform(-0.08, 0.08)
    return {"pot": ObjectPose((x, y, 0.0), float(rng.uniform(-0.2, 0.2)))}


def _pot_is_lifted(_model: Any, data: Any) -> bool:
    """The pot hangs more than 6 cm above the table, upright."""
    return bool(data.body("pot").xpos[2] > 0.06 and up_component(data, "pot") > 0.9)


def _draw_place_to_pot(rng: np.random.Generator) -> dict[str, ObjectPose]:
    side = 1.0 if rng.random() < 0.5 else -1.0
    cube = (0.33 + rng.uniform(-0.05, 0.05), side * (0.20 + rng.uniform(-0.045, 0.045)), CUBE_SIDE_M / 2)
    pot = (0.42 + rng.uniform(-0.02, 0.02), rng.uniform(-0.03, 0.03), 0.0)
    return {
        "pot": ObjectPose(pot, float(np.pi / 2 + rng.uniform(-0.2, 0.2))),
        "cube": ObjectPose(cube, float(rng.uniform(-0.25, 0.25))),
    }


def _cube_is_in_pot(model: Any, data: Any) -> bool:
    """The cube lies still inside the standing pot and no finger touches it."""
    pot, cube = data.body("pot"), data.body("cube")
    offset: FloatArray = cube.xpos - pot.xpos
    inside = np.hypot(offset[0], offset[1]) < POT_RADIUS_M - 0.01 and 0.0 < offset[2] < POT_HEIGHT_M - 0.01
    standing = pot.xpos[2] < 0.02 and up_component(data, "pot") > 0.9
    still = float(np.linalg.norm(data.joint("cube").qvel[:3])) < 0.1
    return bool(inside and standing and still and not _touched_by_gripper(model, data, "cube"))


def _touched_by_gripper(model: Any, data: Any, body: str) -> bool:
    object_id = model.body(body).id
    for contact in data.contact:
        bodies = [int(model.geom_bodyid[geom]) for geom in contact.geom]
        if object_id in bodies:
            other = model.body(bodies[1 - bodies.index(object_id)]).name
            if other.split("_")[0] in ARM_NAMES:
                return True
    return False


def _add_pot_and_cube(spec: Any) -> None:
    add_pot(spec)
    add_cube(spec)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("lift_pot", "lift the pot with both hands", add_pot, _draw_lift_pot, _pot_is_lifted),
        Task(
            "place_to_pot",
            "put the red cube into the pot",
            _add_pot_and_cube,
            _draw_place_to_pot,
            _cube_is_in_pot,
        ),
    )
}
"""By name."""
