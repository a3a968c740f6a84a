"""When a person would call a task done, as predicates on the scene (``MjModel``, ``MjData``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import ARM_NAMES
from svam_ros.simulation.pouring_objects import (
    BEAD_RADIUS_M,
    BEADS,
    BOWL_HEIGHT_M,
    BOWL_RADIUS_M,
    CUP_HEIGHT_M,
    CUP_RADIUS_M,
)
from svam_ros.simulation.task_objects import POT_HEIGHT_M, POT_RADIUS_M
from svam_ros.types import FloatArray

Test = Callable[[Any, Any], bool]

POURED_SHARE = 0.8
"""Of the beads, in the bowl."""

_UPRIGHT = 0.9
"""Least cosine of the tilt."""
_ON_TABLE_M = 0.004
"""Height of a foot that is on the table, not on the bowl's floor."""


def up_component(data: Any, body: str) -> float:
    """Cosine of the tilt of a body's z axis from the vertical."""
    return float(data.body(body).xmat[8])


def pot_is_lifted(model: Any, data: Any) -> bool:
    """The pot hangs more than 6 cm above the table, upright, in both hands."""
    hangs = data.body("pot").xpos[2] > 0.06 and up_component(data, "pot") > _UPRIGHT
    return bool(hangs and all(_touched_by_gripper(model, data, "pot", (arm,)) for arm in ARM_NAMES))


def is_in_pot(cube: str) -> Test:
    """The body ``cube`` lies still inside the standing pot and no finger touches it."""
    return partial(_is_in_pot, cube)


def share_in_bowl(model: Any, data: Any) -> float:
    """Share of the beads whose centres are inside the bowl, and not inside the cup."""
    first = model.body("bead0").id
    centres = data.xpos[first : first + BEADS]
    in_bowl = _inside(data, "bowl", centres, BOWL_RADIUS_M, BOWL_HEIGHT_M + BEAD_RADIUS_M)
    in_cup = _inside(data, "cup", centres, CUP_RADIUS_M, CUP_HEIGHT_M)
    return float(np.mean(in_bowl & ~in_cup))


def is_poured(model: Any, data: Any) -> bool:
    """Most beads lie in the standing bowl; the cup is in a hand or stands on the table."""
    return bool(
        share_in_bowl(model, data) >= POURED_SHARE
        and _stands(data, "bowl")
        and (_stands(data, "cup", _ON_TABLE_M) or _touched_by_gripper(model, data, "cup"))
    )


def _is_in_pot(cube: str, model: Any, data: Any) -> bool:
    offset: FloatArray = data.body(cube).xpos - data.body("pot").xpos
    inside = np.hypot(offset[0], offset[1]) < POT_RADIUS_M - 0.01 and 0.0 < offset[2] < POT_HEIGHT_M - 0.01
    still = float(np.linalg.norm(data.joint(cube).qvel[:3])) < 0.1
    return bool(inside and _stands(data, "pot") and still and not _touched_by_gripper(model, data, cube))


def _stands(data: Any, body: str, below_m: float = 0.02) -> bool:
    return bool(data.body(body).xpos[2] < below_m and up_component(data, body) > _UPRIGHT)


def _inside(data: Any, body: str, points: FloatArray, radius_m: float, height_m: float) -> NDArray[np.bool_]:
    """``(n,)`` whether ``(n, 3)`` points are inside a cylinder that stands on the body's origin."""
    local: FloatArray = (points - data.body(body).xpos) @ data.body(body).xmat.reshape(3, 3)
    between = (local[:, 2] > 0.0) & (local[:, 2] < height_m)
    enclosed: NDArray[np.bool_] = between & (np.hypot(local[:, 0], local[:, 1]) < radius_m)
    return enclosed


def _touched_by_gripper(model: Any, data: Any, body: str, arm_names: Sequence[str] = ARM_NAMES) -> bool:
    """Whether any of the arms touches the body."""
    touching = model.geom_bodyid[data.contact.geom]
    others = touching[(touching == model.body(body).id).any(axis=1)]
    arms = [model.body(f"{arm}_base").id for arm in arm_names]
    return bool(np.isin(model.body_rootid[others], arms).any())
