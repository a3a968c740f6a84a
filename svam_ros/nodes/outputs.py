"""Which output a robot profile asks for."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from svam_ros.cobot import Cobot, RobotProfile
from svam_ros.nodes.arm_output import ArmOutput, JointStateOutput, JointTrajectoryOutput
from svam_ros.nodes.piper_can_output import PiperCanOutput

OUTPUTS: dict[str, Callable[[Node, RobotProfile, Cobot], ArmOutput]] = {
    "joint_state": JointStateOutput,
    "joint_trajectory": JointTrajectoryOutput,
    "piper_can": PiperCanOutput,
}
"""By the robot profile's ``output``."""
