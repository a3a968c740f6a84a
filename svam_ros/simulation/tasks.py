"""The tasks: what lies on the table, what is asked for, and when a person would call it done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from svam_ros.simulation.start_poses import (
    Draw,
    draw_any_with_pot,
    draw_cup_and_bowl,
    draw_pot,
    draw_pot_and,
    draw_pot_and_cubes,
    draw_pot_cup_and_bowl,
)
from svam_ros.simulation.success_tests import Test, is_in_pot, is_poured, pot_is_lifted, share_in_bowl

SUCCESS_HOLD_S = 0.3
"""How long a task's predicate has to hold in a row before the task counts as done."""


@dataclass(frozen=True)
class Task:
    """One thing to do."""

    name: str
    instruction: str
    """The sentence that the policy is given."""
    draw_poses: Draw
    """What is on the table and where: nothing but what the task needs."""
    draw_shared: Draw
    """The same for a scene in which other tasks are possible too, drawn alike for all of them."""
    is_done: Test
    """Whether the scene (``MjModel``, ``MjData``) is as asked for at this moment."""
    share: Callable[[Any, Any], float] | None = None
    """How much of it is done, 0 to 1, for a task that can be done by parts."""

    def fraction(self, model: Any, data: Any) -> float:
        """How much of the task is done at this moment, 0 to 1: all or nothing for most."""
        return float(self.is_done(model, data)) if self.share is None else self.share(model, data)


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


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("lift_pot", "lift the pot with both hands", draw_pot, draw_any_with_pot, pot_is_lifted),
        Task(
            "place_to_pot",
            "put the red cube into the pot",
            draw_pot_and("cube"),
            draw_pot_and_cubes,
            is_in_pot("cube"),
        ),
        Task(
            "place_to_pot_hard",
            "put the glass cube into the pot",
            draw_pot_and("glass_cube"),
            draw_pot_and_cubes,
            is_in_pot("glass_cube"),
        ),
        Task(
            "pour",
            "pour the beads from the cup into the bowl",
            draw_cup_and_bowl,
            draw_pot_cup_and_bowl,
            is_poured,
            share_in_bowl,
        ),
    )
}
"""By name."""
