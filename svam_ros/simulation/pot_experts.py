"""Experts for the pot: lift it with both arms, put a cube into it with one."""

from __future__ import annotations

from typing import Any

import numpy as np

from svam_ros.cobot import ARM_NAMES, Cobot
from svam_ros.simulation.expert_motion import Motion, above, approach_and_rise, first_reachable, pose_of
from svam_ros.simulation.joint_motion import Waypoint
from svam_ros.simulation.task_objects import POT_HANDLE_HEIGHT_M, POT_HANDLE_REACH_M

_HANDLE_OPENING_M = 0.05
"""The inner finger passes between handle and pot with 16 mm to spare on either side."""
_CUBE_OPENING_M = 0.068
_LIFT_HEIGHTS_M = (0.05, 0.11)
_CARRY_HEIGHT_M = 0.11
_RELEASE_HEIGHT_M = 0.125
"""Of the grasp point above the table: the cube's underside just clears the pot's rim."""


def lift_pot(cobot: Cobot, data: Any) -> list[Waypoint]:
    """Both grippers close on the handles and rise together.

    Raises:
        UnreachableError: a handle cannot be grasped.
    """
    centre, yaw = pose_of(data, "pot")
    paths = {}
    for arm, side in zip(ARM_NAMES, (1.0, -1.0), strict=True):
        outwards = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
        handle = centre + side * POT_HANDLE_REACH_M * outwards + np.array([0.0, 0.0, POT_HANDLE_HEIGHT_M])
        paths[arm] = approach_and_rise(cobot, arm, handle, yaw, _LIFT_HEIGHTS_M)
    before, grasp, low, high = ({arm: path[index] for arm, path in paths.items()} for index in range(4))
    motion = Motion(cobot)
    motion.go(before, _HANDLE_OPENING_M)
    motion.go(grasp, _HANDLE_OPENING_M, overlap=0.5)
    motion.go(grasp, 0.0)
    motion.go(low, 0.0)
    motion.go(high, 0.0, overlap=0.6)
    return motion.waypoints


def place_to_pot(cobot: Cobot, data: Any, cube: str) -> list[Waypoint]:
    """The arm on the side of the body ``cube`` picks it up, lets it drop into the pot and draws back.

    Raises:
        UnreachableError: the cube cannot be grasped, or the pot is out of reach.
    """
    place, cube_yaw = pose_of(data, cube)
    pot, _ = pose_of(data, "pot")
    arm = "left" if place[1] > 0.0 else "right"
    before, grasp, up = approach_and_rise(cobot, arm, place, cube_yaw, (_CARRY_HEIGHT_M,))
    over = first_reachable(cobot, arm, above(pot, _RELEASE_HEIGHT_M), up)
    away = first_reachable(cobot, arm, above(pot, _RELEASE_HEIGHT_M) + np.array([-0.05, 0.0, 0.06]), over)
    motion = Motion(cobot)
    motion.go({arm: before}, _CUBE_OPENING_M)
    motion.go({arm: grasp}, _CUBE_OPENING_M, overlap=0.3)
    motion.go({arm: grasp}, 0.02)
    motion.go({arm: up}, 0.02, overlap=0.1)
    motion.go({arm: over}, 0.02, overlap=0.7)
    motion.go({arm: over}, _CUBE_OPENING_M)
    motion.go({arm: away}, _CUBE_OPENING_M, overlap=0.5)
    return motion.waypoints
