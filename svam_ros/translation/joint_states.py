"""``sensor_msgs/JointState`` of one arm, in any dialect, to seven numbers in our order and units."""

from __future__ import annotations

from typing import Any

import numpy as np

from svam_ros.cobot import RobotProfile
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import ArmReading, FloatArray


def read_joint_state(message: Any, profile: RobotProfile, arm: str, arrived_ns: int) -> ArmReading:
    """A state as the arm's driver publishes it.

    Args:
        message: ``sensor_msgs/JointState``.
        profile: the robot's dialect.
        arm: ``"left"`` or ``"right"``.
        arrived_ns: ROS time of the message's arrival: its stamp where the profile says that the driver
            gives none.

    Raises:
        RejectedMessage: a joint is missing, sizes contradict, a number is not finite, or no stamp. The
            Piper driver sends all joints as 0 rad under stamp 0 before it has heard of its arm.
    """
    stamp_ns = stamp_to_ns(message.header.stamp) if profile.states_stamped else arrived_ns
    return _read(message, profile, arm, profile.arms[arm].state_joint_names, stamp_ns)


def read_command(message: Any, profile: RobotProfile, arm: str) -> ArmReading:
    """A set-point as this package sends it; arguments and errors as of :func:`read_joint_state`."""
    stamp_ns = stamp_to_ns(message.header.stamp)
    return _read(message, profile, arm, profile.arms[arm].command_joint_names, stamp_ns)


def _read(
    message: Any, profile: RobotProfile, arm: str, wanted: tuple[str, ...], stamp_ns: int
) -> ArmReading:
    """Reorder by name, convert the gripper, check every number."""
    names = list(message.name)
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
