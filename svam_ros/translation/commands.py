"""Joint targets to the command of one arm, in the driver's names, units and conventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import RobotProfile
from svam_ros.types import FloatArray


@dataclass(frozen=True)
class ArmCommand:
    """The arrays of a ``sensor_msgs/JointState`` set-point; all three always full.

    Empty arrays are legal but some readers of recorded messages refuse them.
    """

    joint_names: tuple[str, ...]
    position: tuple[float, ...]
    velocity: tuple[float, ...]
    effort: tuple[float, ...]


def arm_command(profile: RobotProfile, arm: str, positions: FloatArray, velocities: FloatArray) -> ArmCommand:
    """One arm's set-point.

    Every joint is named (a joint missing in a command is driven to 0 rad by the Piper driver), and
    ``velocity[6]`` carries the speed percentage where the driver reads it as one.

    Args:
        profile: the robot's dialect.
        arm: ``"left"`` or ``"right"``.
        positions: ``(7,)`` rad and m, already limited.
        velocities: ``(7,)`` rad/s and m/s.

    Raises:
        ValueError: a number is not finite; the guard never lets one come here.
    """
    if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(velocities))):
        raise ValueError(f"{arm} arm: refusing to build a command from non-finite numbers")
    position = positions.copy()
    position[-1] /= profile.gripper.metres_per_unit
    velocity = velocities.copy()
    velocity[-1] /= profile.gripper.metres_per_unit
    if profile.speed_percent is not None:
        velocity[:] = 0.0
        velocity[-1] = float(profile.speed_percent)
    effort = np.zeros_like(position)
    effort[-1] = profile.gripper_effort
    return ArmCommand(
        profile.arms[arm].command_joint_names,
        tuple(position.tolist()),
        tuple(velocity.tolist()),
        tuple(effort.tolist()),
    )
