"""``sensor_msgs/JointState`` of one arm, in any dialect, to seven numbers in our order and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from svam_ros.cobot import RobotProfile
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import FloatArray


@dataclass(frozen=True)
class ArmReading:
    """One arm's joints from one message."""

    positions: FloatArray
    """``(7,)``: six angles in rad, gripper opening in m."""
    velocities: FloatArray
    """``(7,)``: zeros where the driver reports none."""
    stamp_ns: int


def read_joint_state(message: Any, profile: RobotProfile, arm: str) -> ArmReading:
    """Reorder by name, convert the gripper, check every number.

    Works for states and for commands: both use the profile's joint names.

    Raises:
        RejectedMessage: a joint is missing, sizes contradict, a number is not finite, or no stamp.
    """
    names = list(message.name)
    wanted = profile.arms[arm].joint_names
    missing = [name for name in wanted if name not in names]
    if missing:
        raise RejectedMessage(f"{arm} arm: joints {missing} are missing, got {names}, profile {profile.name}")
    raw = np.asarray(message.position, dtype=np.float64)
    if raw.shape != (len(names),):
        raise RejectedMessage(f"{arm} arm: {len(names)} names but {raw.size} positions")
    order = [names.index(name) for name in wanted]
    positions = raw[order]
    velocities = _velocities(message, len(names), order)
    if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(velocities))):
        raise RejectedMessage(f"{arm} arm: a position or velocity is not finite: {positions.tolist()}")
    stamp_ns = stamp_to_ns(message.header.stamp)
    if stamp_ns <= 0:
        raise RejectedMessage(f"{arm} arm: the message has no stamp")
    positions[-1] *= profile.gripper.metres_per_unit
    velocities[-1] *= profile.gripper.metres_per_unit
    return ArmReading(positions, velocities, stamp_ns)


def _velocities(message: Any, count: int, order: list[int]) -> FloatArray:
    """Velocities in our order; the Piper driver sends six for seven joints, or none at all."""
    raw = np.zeros(count)
    given = np.asarray(message.velocity, dtype=np.float64)[:count]
    raw[: given.size] = given
    return raw[order]
