"""Scripted experts: the motion that does a task, planned from the true poses of its objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from svam_ros.cobot import Cobot
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.joint_motion import Waypoint, time_motion
from svam_ros.simulation.pot_experts import lift_pot, place_to_pot
from svam_ros.simulation.pour_expert import pour
from svam_ros.types import FloatArray

SPEED_SHARE = 0.75
ACCELERATION_SHARE = 0.7
"""How much of the limits an expert uses: the rest is left to the guard for corrections."""
REST_S = 0.5
"""How long a demonstration ends holding still."""

_EXPERTS: dict[str, Callable[[Cobot, Any], list[Waypoint]]] = {
    "lift_pot": lift_pot,
    "place_to_pot": partial(place_to_pot, cube="cube"),
    "place_to_pot_hard": partial(place_to_pot, cube="glass_cube"),
    "pour": pour,
}


def plan_demonstration(simulation: CobotSimulation) -> FloatArray:
    """``(n, 14)`` joint targets at the chunk rate that do the task from where the scene is now.

    Row ``i`` is due ``(i + 1) * control_period_s`` after the start; the motion begins at home.

    Raises:
        UnreachableError: an object lies where the arms cannot grasp it.
        ValueError: there is no expert for the task.
    """
    name = simulation.task.name
    if name not in _EXPERTS:
        raise ValueError(f"no scripted expert for task '{name}', there are: {', '.join(_EXPERTS)}")
    cobot = simulation.cobot
    return time_motion(
        cobot.home,
        _EXPERTS[name](cobot, simulation.data),
        SPEED_SHARE * cobot.limits.velocity,
        ACCELERATION_SHARE * cobot.limits.acceleration,
        cobot.control_period_s,
        REST_S,
    )
