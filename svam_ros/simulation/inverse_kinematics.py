"""Joint angles for a gripper pose: damped least squares from several starts.

Works on the published kinematics (:mod:`svam_ros.simulation.arm_kinematics`) with the geometric
Jacobian, inside the joint limits. Of the solutions found the one nearest to a reference is taken,
so that a motion from there is short.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from svam_ros.simulation.arm_kinematics import ARM_BASES_M, FLANGE_TO_GRASP_M, PIPER_ROWS, link_transform
from svam_ros.types import FloatArray

_POSITION_TOLERANCE_M = 5e-4
_ROTATION_TOLERANCE_RAD = 5e-3
_DAMPING = 0.03
_DAMPED = _DAMPING**2 * np.eye(6)
_MAX_STEP_RAD = 0.25
_MAX_ITERATIONS = 120
_STUCK_RAD = 1e-7
"""Of the joint that moves most: what a step no longer changes no further step will."""
_SEEDS = tuple(
    np.array([0.0, shoulder, elbow, roll, pitch, twist])
    for shoulder, elbow, pitch in ((1.2, -1.0, 0.6), (1.8, -1.4, 0.4))
    for roll, twist in ((0.0, 0.0), (0.5, -0.6), (-0.5, 0.6))
)


class UnreachableError(RuntimeError):
    """No joint angles inside the limits bring the gripper to any of the poses asked for."""


@dataclass(frozen=True)
class GraspTarget:
    """Where the point between the fingers shall be and how the gripper is turned there."""

    position_m: FloatArray
    """``(3,)`` world."""
    rotation: FloatArray
    """``(3, 3)``: columns x, closing direction of the fingers, approach direction."""


def grasp_rotation(azimuth_rad: float, tilt_rad: float, roll_rad: float = 0.0) -> FloatArray:
    """Gripper that approaches along ``azimuth_rad``, ``tilt_rad`` below the horizontal.

    With ``roll_rad`` zero its fingers close horizontally, across the approach.
    """
    forward = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad), 0.0])
    approach = np.cos(tilt_rad) * forward + np.array([0.0, 0.0, -np.sin(tilt_rad)])
    closing = np.array([-np.sin(azimuth_rad), np.cos(azimuth_rad), 0.0])
    rotated = np.cos(roll_rad) * closing + np.sin(roll_rad) * np.cross(approach, closing)
    return np.column_stack([np.cross(rotated, approach), rotated, approach])


def solve(
    arm: str, targets: Iterable[GraspTarget], reference: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """``(6,)`` rad that reach the first reachable target, nearest to ``reference``.

    A gripper turned by half a turn about its approach grasps the same: both are tried.

    Args:
        arm: ``"left"`` or ``"right"``.
        targets: in order of preference.
        reference: ``(6,)`` rad, also the first start of the search.
        lower: ``(6,)`` rad.
        upper: ``(6,)`` rad.

    Raises:
        UnreachableError: none of the targets can be reached.
    """
    tried = 0
    for target in targets:
        tried += 1
        solutions = []
        for rotation in (target.rotation, target.rotation @ np.diag([-1.0, -1.0, 1.0])):
            pose = GraspTarget(target.position_m, rotation)
            starts = (reference, *(_facing(arm, pose, seed) for seed in _SEEDS))
            for start in starts:
                joints = _descend(arm, pose, np.clip(start, lower, upper), lower, upper)
                if joints is not None:
                    solutions.append(joints)
                    break
        if solutions:
            return min(solutions, key=lambda joints: float(np.abs(joints - reference).max()))
    raise UnreachableError(f"the {arm} arm reaches none of {tried} grasp poses")


def _facing(arm: str, target: GraspTarget, seed: FloatArray) -> FloatArray:
    offset = target.position_m - np.array(ARM_BASES_M[arm])
    joints = seed.copy()
    joints[0] = np.arctan2(offset[1], offset[0])
    return joints


def _descend(
    arm: str, target: GraspTarget, joints: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray | None:
    for _ in range(_MAX_ITERATIONS):
        error, jacobian = _error_and_jacobian(arm, target, joints)
        if (
            np.abs(error[:3]).max() < _POSITION_TOLERANCE_M
            and np.abs(error[3:]).max() < _ROTATION_TOLERANCE_RAD
        ):
            return joints
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + _DAMPED, error)
        moved = joints + np.minimum(np.maximum(step, -_MAX_STEP_RAD), _MAX_STEP_RAD)
        moved = np.minimum(np.maximum(moved, lower), upper)
        if np.abs(moved - joints).max() < _STUCK_RAD:
            return None
        joints = moved
    return None


def _error_and_jacobian(arm: str, target: GraspTarget, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``(6,)`` pose error (m, rad) and ``(6, 6)`` Jacobian of the grasp point."""
    pose = np.eye(4)
    pose[:3, 3] = ARM_BASES_M[arm]
    origins, axes = np.empty((6, 3)), np.empty((6, 3))
    for index, (row, angle) in enumerate(zip(PIPER_ROWS, joints, strict=True)):
        pose = pose @ link_transform(row, float(angle))
        origins[index], axes[index] = pose[:3, 3], pose[:3, 2]
    grasp = pose[:3, 3] + FLANGE_TO_GRASP_M * pose[:3, 2]
    error, jacobian = np.empty(6), np.empty((6, 6))
    error[:3], error[3:] = target.position_m - grasp, _rotation_error(pose[:3, :3], target)
    jacobian[:3], jacobian[3:] = _cross(axes, grasp - origins).T, axes.T
    return error, jacobian


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Rows ``(n, 3)`` crossed; ``np.cross`` takes ten times as long for six of them."""
    product = np.empty_like(a)
    product[:, 0] = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    product[:, 1] = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    product[:, 2] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product


def _rotation_error(rotation: FloatArray, target: GraspTarget) -> FloatArray:
    """``(3,)`` rad from ``(3, 3)`` ``rotation`` to the target's, exact in direction.

    Half the sum of the cross products of the axes is the sine of the angle about its axis: it vanishes
    half a turn away as well, so beyond a quarter turn it is lengthened, and at half a turn it is not small.
    """
    error: FloatArray = 0.5 * _cross(rotation.T, target.rotation.T).sum(axis=0)
    cosine = 0.5 * (float(np.sum(rotation * target.rotation)) - 1.0)
    if cosine >= 0.0:
        return error
    sine = float(np.linalg.norm(error))
    if sine > 1e-6:
        return error / sine
    # Half a turn: the axis is the column of R R' + 1 that is longest.
    columns = target.rotation @ rotation.T + np.eye(3)
    longest = columns[:, int(np.argmax(np.linalg.norm(columns, axis=0)))]
    return longest / float(np.linalg.norm(longest))
