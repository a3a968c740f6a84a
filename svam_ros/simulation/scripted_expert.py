"""Scripted experts: the motion that does a task, planned from the true poses of its objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from svam_ros.cobot import ARM_NAMES, Cobot
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.inverse_kinematics import GraspTarget, UnreachableError, grasp_rotation, solve
from svam_ros.simulation.joint_motion import Waypoint, time_motion
from svam_ros.simulation.task_objects import POT_HANDLE_HEIGHT_M, POT_HANDLE_REACH_M
from svam_ros.types import FloatArray

SPEED_SHARE = 0.75
ACCELERATION_SHARE = 0.7
"""How much of the limits an expert uses: the rest is left to the guard for corrections."""
REST_S = 0.5
"""How long a demonstration ends holding still."""

_TILTS_RAD = tuple(np.deg2rad([65.0, 60.0, 70.0, 55.0, 50.0, 45.0]).tolist())
"""Approach below the horizontal, in order of preference; joint 5 allows no vertical grasp."""
_BACK_OFF_M = 0.08
"""Length of the straight last piece of an approach."""
_HANDLE_OPENING_M = 0.036
"""Narrow enough for the inner finger to pass between handle and pot."""
_CUBE_OPENING_M = 0.062
_LIFT_HEIGHTS_M = (0.05, 0.11)
_CARRY_HEIGHT_M = 0.11
_RELEASE_HEIGHT_M = 0.125
"""Of the grasp point above the table: the cube's underside just clears the pot's rim."""


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


class _Motion:
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


def _lift_pot(cobot: Cobot, data: Any) -> list[Waypoint]:
    """Both grippers close on the handles and rise together."""
    centre, yaw = _pose(data, "pot")
    paths = {}
    for arm, side in zip(ARM_NAMES, (1.0, -1.0), strict=True):
        outwards = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        handle = centre + side * POT_HANDLE_REACH_M * outwards + np.array([0.0, 0.0, POT_HANDLE_HEIGHT_M])
        paths[arm] = _approach_and_rise(cobot, arm, handle, yaw, _LIFT_HEIGHTS_M)
    before, grasp, low, high = ({arm: path[index] for arm, path in paths.items()} for index in range(4))
    motion = _Motion(cobot)
    motion.go(before, _HANDLE_OPENING_M)
    motion.go(grasp, _HANDLE_OPENING_M, overlap=0.5)
    motion.go(grasp, 0.0)
    motion.go(low, 0.0)
    motion.go(high, 0.0, overlap=0.6)
    return motion.waypoints


def _place_to_pot(cobot: Cobot, data: Any) -> list[Waypoint]:
    """The arm on the cube's side picks it up, lets it drop into the pot and draws back."""
    cube, cube_yaw = _pose(data, "cube")
    pot, _ = _pose(data, "pot")
    arm = "left" if cube[1] > 0.0 else "right"
    before, grasp, up = _approach_and_rise(cobot, arm, cube, cube_yaw, (_CARRY_HEIGHT_M,))
    over = _first_reachable(cobot, arm, _above(pot, _RELEASE_HEIGHT_M), up)
    away = _first_reachable(cobot, arm, _above(pot, _RELEASE_HEIGHT_M) + np.array([-0.05, 0.0, 0.06]), over)
    motion = _Motion(cobot)
    motion.go({arm: before}, _CUBE_OPENING_M)
    motion.go({arm: grasp}, _CUBE_OPENING_M, overlap=0.3)
    motion.go({arm: grasp}, 0.02)
    motion.go({arm: up}, 0.02, overlap=0.1)
    motion.go({arm: over}, 0.02, overlap=0.7)
    motion.go({arm: over}, _CUBE_OPENING_M)
    motion.go({arm: away}, _CUBE_OPENING_M, overlap=0.5)
    return motion.waypoints


_EXPERTS: dict[str, Callable[[Cobot, Any], list[Waypoint]]] = {
    "lift_pot": _lift_pot,
    "place_to_pot": _place_to_pot,
}


def _pose(data: Any, body: str) -> tuple[FloatArray, float]:
    """Position and turn about the vertical."""
    rotation = data.body(body).xmat.reshape(3, 3)
    return data.body(body).xpos.copy(), float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def _above(position_m: FloatArray, height_m: float) -> FloatArray:
    return np.array([position_m[0], position_m[1], height_m])


def _approach_and_rise(
    cobot: Cobot, arm: str, grasp_m: FloatArray, azimuth_rad: float, heights_m: Sequence[float]
) -> list[FloatArray]:
    """Joints before the grasp, at it, and at each height above it, the gripper turned alike in all."""
    for tilt in _TILTS_RAD:
        rotation = grasp_rotation(azimuth_rad, tilt)
        rises = [np.array([0.0, 0.0, height]) for height in heights_m]
        offsets = [-_BACK_OFF_M * rotation[:, 2], np.zeros(3), *rises]
        joints = [cobot.home[cobot.arm_slice(arm)][:6]]
        try:
            for offset in offsets:
                target = GraspTarget(grasp_m + offset, rotation)
                joints.append(_solve(cobot, arm, [target], joints[-1]))
        except UnreachableError:
            continue
        return joints[1:]
    raise UnreachableError(f"the {arm} arm cannot grasp at {np.round(grasp_m, 3)} m")


def _first_reachable(cobot: Cobot, arm: str, position_m: FloatArray, reference: FloatArray) -> FloatArray:
    """Joints at a point where the gripper's direction is free."""
    inwards = -1.0 if arm == "left" else 1.0
    turns = product(_TILTS_RAD, (0.35, 0.55, 0.15))
    targets = [GraspTarget(position_m, grasp_rotation(inwards * azimuth, tilt)) for tilt, azimuth in turns]
    return _solve(cobot, arm, targets, reference)


def _solve(cobot: Cobot, arm: str, targets: Sequence[GraspTarget], reference: FloatArray) -> FloatArray:
    row = cobot.arm_slice(arm)
    lower, upper = cobot.limits.lower[row][:6], cobot.limits.upper[row][:6]
    return solve(arm, targets, reference, lower, upper)
