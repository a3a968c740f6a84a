"""Expert for pouring: the mouth of the cup stays above the bowl while the cup is rolled.

Rolling about the fixed grasp point would sweep the mouth across the table. So the grasp point is moved
round the mouth instead: as the cup tilts, the hand comes up beside it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.simulation.arm_kinematics import ARM_BASES_M
from svam_ros.simulation.expert_motion import Motion, approach_and_rise, pose_of, solve_for
from svam_ros.simulation.inverse_kinematics import GraspTarget, UnreachableError, grasp_rotation
from svam_ros.simulation.joint_motion import Waypoint
from svam_ros.simulation.pouring_objects import CUP_HEIGHT_M
from svam_ros.types import FloatArray

_TILT_RAD = float(np.deg2rad(30.0))
"""A shallow grasp: steeper, and a roll about the approach would hardly tip the cup."""
_OPENING_M = 0.07
_GRIP_M = 0.03
"""Opening asked for when gripping: narrower than the cup, so that the fingers press."""
_GRASP_HEIGHT_M = 0.048
_CARRY_HEIGHT_M = 0.11
"""Of the lift before the cup is carried."""
_MOUTH_HEIGHT_M = 0.15
_ROLLS_RAD = (0.0, 0.8, 1.6, 2.3)


def pour(cobot: Cobot, data: Any) -> list[Waypoint]:
    """The arm on the cup's side takes it over the bowl, tips it and holds it there.

    Raises:
        UnreachableError: the cup cannot be grasped, or not be tipped over the bowl.
    """
    cup, _ = pose_of(data, "cup")
    bowl, _ = pose_of(data, "bowl")
    arm = "left" if cup[1] > 0.0 else "right"
    grasp_m = cup + np.array([0.0, 0.0, _GRASP_HEIGHT_M])
    before, grasp, up = approach_and_rise(
        cobot, arm, grasp_m, _bearing(arm, cup), (_CARRY_HEIGHT_M,), (_TILT_RAD,)
    )
    over, *tipped = _tipping(cobot, arm, bowl, up)
    motion = Motion(cobot)
    motion.go({arm: before}, _OPENING_M)
    motion.go({arm: grasp}, _OPENING_M, overlap=0.35)
    motion.go({arm: grasp}, _GRIP_M)
    motion.go({arm: up}, _GRIP_M)
    motion.go({arm: over}, _GRIP_M, overlap=0.6)
    for joints in tipped:
        motion.go({arm: joints}, _GRIP_M, overlap=0.55)
    return motion.waypoints


def _tipping(cobot: Cobot, arm: str, bowl_m: FloatArray, reference: FloatArray) -> list[FloatArray]:
    """Joints at each roll, turned the way round that takes the smaller moves: it meets no joint's limit."""
    ways = []
    for sign in (1.0, -1.0):
        with suppress(UnreachableError):
            ways.append(_rolled(cobot, arm, bowl_m, reference, sign))
    if not ways:
        raise UnreachableError(f"the {arm} arm cannot tip a cup over {np.round(bowl_m, 3)} m")
    return min(ways, key=lambda way: float(np.abs(np.diff(way, axis=0)).max()))


def _bearing(arm: str, position_m: FloatArray) -> float:
    """Direction of a place from the arm's base, about the vertical: along it the wrist stays straight."""
    offset = position_m - np.array(ARM_BASES_M[arm])
    return float(np.arctan2(offset[1], offset[0]))


def _rolled(
    cobot: Cobot, arm: str, bowl_m: FloatArray, reference: FloatArray, sign: float
) -> list[FloatArray]:
    azimuth = _bearing(arm, bowl_m)
    upright = grasp_rotation(azimuth, _TILT_RAD)
    mouth = np.array([bowl_m[0], bowl_m[1], _MOUTH_HEIGHT_M])
    joints = [reference]
    for roll in _ROLLS_RAD:
        rotation = grasp_rotation(azimuth, _TILT_RAD, sign * roll)
        cup_axis = rotation @ upright.T @ np.array([0.0, 0.0, 1.0])
        grasp_m = mouth - (CUP_HEIGHT_M - _GRASP_HEIGHT_M) * cup_axis
        joints.append(solve_for(cobot, arm, [GraspTarget(grasp_m, rotation)], joints[-1]))
    return joints[1:]
