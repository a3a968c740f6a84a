"""Published kinematics of the Piper arm: modified Denavit-Hartenberg rows and their product.

Source: AgileX's ``piper_sdk`` (kinematics of firmware S-V1.6-3 and later). A row maps frame
``i-1`` to frame ``i`` as ``Rx(alpha) Tx(a) Rz(theta + offset) Tz(d)``; the last frame is the
flange that carries the gripper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from svam_ros.types import FloatArray


@dataclass(frozen=True)
class DenavitHartenbergRow:
    """One joint: twist and length of the link before it, offset along and about its axis."""

    alpha_rad: float
    a_m: float
    d_m: float
    offset_rad: float


def _row(alpha_deg: float, a_m: float, d_m: float, offset_deg: float) -> DenavitHartenbergRow:
    return DenavitHartenbergRow(float(np.deg2rad(alpha_deg)), a_m, d_m, float(np.deg2rad(offset_deg)))


PIPER_ROWS: tuple[DenavitHartenbergRow, ...] = (
    _row(0.0, 0.0, 0.123, 0.0),
    _row(-90.0, 0.0, 0.0, -172.22),
    _row(0.0, 0.28503, 0.0, -102.78),
    _row(90.0, -0.02198, 0.25075, 0.0),
    _row(-90.0, 0.0, 0.0, 0.0),
    _row(90.0, 0.0, 0.091, 0.0),
)
"""Base to flange."""

FLANGE_TO_GRASP_M = 0.125
"""From the flange to the point between the finger pads, along the flange's z axis."""

ARM_BASES_M: dict[str, tuple[float, float, float]] = {"left": (0.0, 0.29, 0.0), "right": (0.0, -0.29, 0.0)}
"""Where the arms stand on the table: x forward, y left, z up from the table's top."""


def link_transform(row: DenavitHartenbergRow, angle_rad: float = 0.0) -> FloatArray:
    """``(4, 4)`` transform from the frame of a joint to the frame before it, at ``angle_rad``."""
    ca, sa = math.cos(row.alpha_rad), math.sin(row.alpha_rad)
    ct, st = math.cos(angle_rad + row.offset_rad), math.sin(angle_rad + row.offset_rad)
    return np.array(
        [
            [ct, -st, 0.0, row.a_m],
            [st * ca, ct * ca, -sa, -row.d_m * sa],
            [st * sa, ct * sa, ca, row.d_m * ca],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def grasp_pose(arm: str, joints: FloatArray) -> FloatArray:
    """``(4, 4)`` world pose of the point between the finger pads.

    z is the direction in which the gripper approaches, y the direction in which its fingers close.

    Args:
        arm: ``"left"`` or ``"right"``.
        joints: ``(6,)`` rad.
    """
    pose = np.eye(4)
    pose[:3, 3] = ARM_BASES_M[arm]
    for row, angle in zip(PIPER_ROWS, joints, strict=True):
        pose = pose @ link_transform(row, float(angle))
    pose[:3, 3] += FLANGE_TO_GRASP_M * pose[:3, 2]
    return pose
