"""What scripted experts are made of: waypoints of both arms, and joints for a gripper's poses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.simulation.inverse_kinematics import GraspTarget, UnreachableError, grasp_rotation, solve
from svam_ros.simulation.joint_motion import Waypoint
from svam_ros.types import FloatArray

_TILTS_RAD = tuple(np.deg2rad([65.0, 60.0, 70.0, 55.0, 50.0, 45.0]).tolist())
"""Approach below the horizontal, in order of preference; joint 5 allows no vertical grasp."""
_BACK_OFF_M = 0.08
"""Length of the straight last piece of an approach."""


class Motion:
    """Waypoints under construction: what is not said again stays as it was."""

    def __init__(self, cobot: Cobot) -> None:
        self._cobot = cobot
        self._joints = cobot.home.copy()
        self.waypoints: list[Waypoint] = []

    def go(self, moves: dict[str, FloatArray], opening_m: float, overlap: float = 0.0) -> None:
        """Move the named arms to their ``(6,)`` joints with the grippers at ``opening_m``."""
        joints = self._joints.copy()
        for arm, angles in moves.items():
            joints[self._cobot.arm_slice(arm)] = np.append(angles, opening_m)
        self.waypoints.append(Waypoint(joints, overlap))
        self._joints = joints


def pose_of(data: Any, body: str) -> tuple[FloatArray, float]:
    """Position and turn about the vertical."""
    rotation = data.body(body).xmat.reshape(3, 3)
    return data.body(body).xpos.copy(), float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def above(position_m: FloatArray, height_m: float) -> FloatArray:
    """``(3,)`` the point at ``height_m`` above the table, over ``position_m``."""
    return np.array([position_m[0], position_m[1], height_m])


def approach_and_rise(
    cobot: Cobot,
    arm: str,
    grasp_m: FloatArray,
    azimuth_rad: float,
    heights_m: Sequence[float],
    tilts_rad: Sequence[float] = _TILTS_RAD,
) -> list[FloatArray]:
    """Joints before the grasp, at it, and at each height above it, the gripper turned alike in all.

    Raises:
        UnreachableError: at none of the tilts are all of them reachable.
    """
    for tilt in tilts_rad:
        rotation = grasp_rotation(azimuth_rad, tilt)
        rises = [np.array([0.0, 0.0, height]) for height in heights_m]
        offsets = [-_BACK_OFF_M * rotation[:, 2], np.zeros(3), *rises]
        joints = [cobot.home[cobot.arm_slice(arm)][:6]]
        try:
            for offset in offsets:
                joints.append(solve_for(cobot, arm, [GraspTarget(grasp_m + offset, rotation)], joints[-1]))
        except UnreachableError:
            continue
        return joints[1:]
    raise UnreachableError(f"the {arm} arm cannot grasp at {np.round(grasp_m, 3)} m")


def first_reachable(cobot: Cobot, arm: str, position_m: FloatArray, reference: FloatArray) -> FloatArray:
    """Joints at a point where the gripper's direction is free.

    Raises:
        UnreachableError: it cannot be reached from any direction.
    """
    inwards = -1.0 if arm == "left" else 1.0
    turns = product(_TILTS_RAD, (0.35, 0.55, 0.15))
    targets = [GraspTarget(position_m, grasp_rotation(inwards * azimuth, tilt)) for tilt, azimuth in turns]
    return solve_for(cobot, arm, targets, reference)


def solve_for(cobot: Cobot, arm: str, targets: Sequence[GraspTarget], reference: FloatArray) -> FloatArray:
    """``(6,)`` joints that reach the first reachable target, near ``reference``, inside the limits.

    Raises:
        UnreachableError: none of the targets can be reached.
    """
    row = cobot.arm_slice(arm)
    return solve(arm, targets, reference, cobot.limits.lower[row][:6], cobot.limits.upper[row][:6])
