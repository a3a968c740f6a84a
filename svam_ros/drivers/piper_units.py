"""Rad and metres to the whole numbers on a Piper arm's bus, and back.

Angles travel in 0.001 degree, the gripper's full opening in 0.001 mm
(https://github.com/agilexrobotics/piper_sdk, interface V2). The factor is the exact one: AgileX's driver
node takes 3.14 for pi, which is 1.3 mrad at 150 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from svam_ros.types import FloatArray

WireJoints = tuple[int, int, int, int, int, int, int]
"""Six angles in 0.001 degree and the opening in 0.001 mm."""

RAD_PER_WIRE = math.pi / 180_000.0
METRES_PER_WIRE = 1e-6
RAD_S_PER_WIRE = 1e-3
JOINTS = 7
_PER_WIRE = np.array([RAD_PER_WIRE] * 6 + [METRES_PER_WIRE])


def to_wire(positions: FloatArray) -> WireJoints:
    """The nearest whole numbers.

    A gripper that is measured a hair below closed is told to be closed: its drivers know no negative opening.

    Args:
        positions: ``(7,)`` rad and m.

    Raises:
        ValueError: a number is not finite, or there are not seven; the guard never lets one come here.
    """
    if positions.shape != (JOINTS,) or not np.isfinite(positions).all():
        raise ValueError(f"refusing to send {positions.tolist()} to an arm: not {JOINTS} finite numbers")
    j1, j2, j3, j4, j5, j6, opening = (round(number) for number in (positions / _PER_WIRE).tolist())
    return j1, j2, j3, j4, j5, j6, max(0, opening)


def from_wire(wire: Sequence[int]) -> FloatArray:
    """``(7,)`` rad and m."""
    return np.asarray(wire, dtype=np.float64) * _PER_WIRE
