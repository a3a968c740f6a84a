"""The things that can stand on the table, and the models of the scenes they make.

A scene is the set of kinds on its table: scenes with the same kinds share one compiled model, whichever
task is asked for in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

from svam_ros.simulation import palette
from svam_ros.simulation.pouring_objects import add_beads, add_bowl, add_cup
from svam_ros.simulation.scene_model import build_scene
from svam_ros.simulation.task_objects import add_cube, add_pot

OBJECT_KINDS: dict[str, Callable[[Any], None]] = {
    "pot": add_pot,
    "cube": partial(add_cube, name="cube", colour=palette.CUBE),
    "glass_cube": partial(add_cube, name="glass_cube", colour=palette.GLASS),
    "cup": add_cup,
    "bowl": add_bowl,
    "bead": add_beads,
}
"""What adds the free bodies of a kind to a model specification. Glass comes after what is behind it."""


def kind_of(body: str) -> str:
    """``"bead"`` for ``"bead12"``: the kind that a body is one of."""
    return body.rstrip("0123456789")


def kinds_of(bodies: Iterable[str]) -> tuple[str, ...]:
    """The kinds that the bodies are of, each once, in the order of :data:`OBJECT_KINDS`."""
    present = {kind_of(body) for body in bodies}
    return tuple(kind for kind in OBJECT_KINDS if kind in present)


@cache
def scene_with(kinds: tuple[str, ...]) -> Any:
    """The compiled ``MjModel`` of a scene: built once, never changed, safe to share between threads."""

    def add_objects(spec: Any) -> None:
        for kind in kinds:
            OBJECT_KINDS[kind](spec)

    return build_scene(add_objects)
