"""Set-points to two Piper arms on their CAN buses, and what the arms report to the guard and to topics.

There is no driver node between: this output publishes what is measured and what is commanded on the topics
of the robot profile, for the policy and for recorders.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile
from svam_ros.control.faults import Fault, Finding
from svam_ros.drivers.piper_arm import ArmReport, PiperArm
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.arm_output import ArmNews, JointStateOutput, SetPoints, WaysToRest
from svam_ros.nodes.message_conversion import joint_state_message
from svam_ros.nodes.passing_publishers import create_publisher, destroy_publishers
from svam_ros.types import ArmReading


class PiperCanOutput:
    """See the module's docstring.

    Raises:
        PiperError: an arm cannot be reached; the text says why.
    """

    message_kind: type = JointState
    guard_settings: Mapping[str, float | int] = {}
    measures = True

    def __init__(self, node: Node, profile: RobotProfile, cobot: Cobot) -> None:
        self._profile, self._cobot = profile, cobot
        self._commands = JointStateOutput(node, profile, cobot)
        self.topics = self._commands.topics
        self._node = node
        self._states = {
            arm: create_publisher(node, JointState, profile.arms[arm].state_topic, qos.JOINT_OUTPUT)
            for arm in ARM_NAMES
        }
        self._published_ns = dict.fromkeys(ARM_NAMES, 0)
        self._arms: dict[str, PiperArm] = {}
        try:
            for arm, interface in profile.piper_can.interfaces.items():
                self._arms[arm] = self._open(arm, interface)
                version = self._arms[arm].firmware or "that is not known"
                node.get_logger().info(f"{arm} arm on {interface}, firmware {version}")
        except OSError:
            self.close()
            raise

    def begin(self) -> None:
        """See :class:`ArmOutput`: motors that are off are enabled now."""
        for arm in self._arms.values():
            arm.begin()

    def send(self, set_points: SetPoints, steady_to_ros_ns: int, way_to_rest: WaysToRest) -> int | None:
        """See :class:`ArmOutput`."""
        command = set_points[-1]
        for name, arm in self._arms.items():
            arm.submit(command.positions[self._cobot.arm_slice(name)])
        return self._commands.send(set_points, steady_to_ros_ns, way_to_rest)

    def poll(self, now_ns: int, steady_to_ros_ns: int) -> dict[str, ArmNews]:
        """See :class:`ArmOutput`; publishes new joint states too."""
        news = {}
        for name, arm in self._arms.items():
            report = arm.poll(now_ns)
            if report.reading is not None:
                self._publish(name, report.reading, steady_to_ros_ns)
            news[name] = ArmNews(report.reading, _condition(report), report.is_commanded_by_others)
        return news

    def close(self) -> None:
        """See :class:`ArmOutput`."""
        for arm in self._arms.values():
            arm.close()
        destroy_publishers(self._node, self._states.values())
        self._commands.close()

    def _open(self, arm: str, interface: str) -> PiperArm:
        percent, bus_type = self._profile.speed_percent, self._profile.piper_can.bus_type
        assert percent is not None  # held by load_robot_profile
        return PiperArm(arm, interface, bus_type, percent, self._profile.gripper_effort)

    def _publish(self, arm: str, reading: ArmReading, steady_to_ros_ns: int) -> None:
        """At the profile's rate, give or take half a period."""
        if reading.stamp_ns - self._published_ns[arm] < 0.5e9 / self._profile.state_rate_hz:
            return
        self._published_ns[arm] = reading.stamp_ns
        names = self._profile.arms[arm].state_joint_names
        stamp_ns, no_effort = reading.stamp_ns + steady_to_ros_ns, np.zeros(len(names))
        message = joint_state_message(names, reading.positions, reading.velocities, no_effort, stamp_ns)
        self._states[arm].publish(message)


def _condition(report: ArmReport) -> Finding | None:
    if report.faulty:
        return Finding(Fault.ARM_FAULTY, report.faulty)
    if report.unreachable:
        return Finding(Fault.ARM_UNREACHABLE, report.unreachable)
    if report.enabling:
        return Finding(Fault.ARM_ENABLING, "it holds the pose that was measured")
    return None
