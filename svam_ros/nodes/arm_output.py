"""How set-points leave guard_node: one class for each kind of driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile
from svam_ros.control.faults import Finding
from svam_ros.control.guard_state import Command, WayToRest
from svam_ros.control.trajectory_plan import POINT_SPACING_S, SETTINGS, TrajectoryPlan
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import command_message, trajectory_message
from svam_ros.nodes.passing_publishers import create_publisher, destroy_publishers
from svam_ros.translation.commands import arm_command
from svam_ros.translation.trajectories import arm_trajectories
from svam_ros.types import ArmReading

SetPoints = Sequence[Command]
WaysToRest = Callable[[float], WayToRest | None]


@dataclass(frozen=True)
class ArmNews:
    """What an output heard from one arm since it was last asked."""

    reading: ArmReading | None
    """New joints, stamped on the steady clock."""
    condition: Finding | None
    """Why the arm does not follow now; ``None`` where it does."""
    is_commanded_by_others: bool


class ArmOutput(Protocol):
    """Sends what the guard decides."""

    measures: bool
    """It hears the arms itself: their joint states come from :meth:`poll`, and not from topics."""
    message_kind: type
    """Of what goes out, and so of what another commander would send."""
    topics: dict[str, tuple[str, ...]]
    """By arm: where it goes."""
    guard_settings: Mapping[str, float | int]
    """Those that it needs."""

    def send(self, set_points: SetPoints, steady_to_ros_ns: int, way_to_rest: WaysToRest) -> int | None:
        """Send what is due, or keep it for the next message.

        Args:
            set_points: of this tick, at least one, later than all before.
            steady_to_ros_ns: add this to steady time to get a ROS stamp.
            way_to_rest: gives how the arms stop behind the last, as points so many seconds apart.

        Returns:
            Stamp of the message to each arm, where one went out.
        """

    def begin(self) -> None:
        """An operator engaged: set-points follow, the first of them the measured pose."""

    def poll(self, now_ns: int, steady_to_ros_ns: int) -> Mapping[str, ArmNews]:
        """By arm, what was heard; empty where the arms report on topics.

        Args:
            now_ns: steady time.
            steady_to_ros_ns: add this to steady time to get a ROS stamp.
        """

    def close(self) -> None:
        """Let go of the arms, and close what was opened; sends nothing."""


class TopicOutput:
    """What outputs have in common that talk to drivers on topics: the drivers enable, measure and report."""

    measures = False
    _node: Node
    _publishers: Mapping[str, Any]

    def begin(self) -> None:
        """See :class:`ArmOutput`: nothing to do."""

    def poll(self, now_ns: int, steady_to_ros_ns: int) -> Mapping[str, ArmNews]:
        """See :class:`ArmOutput`."""
        del now_ns, steady_to_ros_ns
        return {}

    def close(self) -> None:
        """See :class:`ArmOutput`."""
        destroy_publishers(self._node, self._publishers.values())


class JointStateOutput(TopicOutput):
    """Single set-points for the drivers of AgileX: the arms go there, and stay where the last one is."""

    message_kind: type = JointState
    guard_settings: Mapping[str, float | int] = {}

    def __init__(self, node: Node, profile: RobotProfile, cobot: Cobot) -> None:
        self._node, self._profile, self._cobot = node, profile, cobot
        self.topics: dict[str, tuple[str, ...]] = {
            arm: (profile.arms[arm].command_topic,) for arm in ARM_NAMES
        }
        self._publishers = {
            arm: create_publisher(node, JointState, topic, qos.JOINT_OUTPUT)
            for arm, topics in self.topics.items()
            for topic in topics
        }

    def send(self, set_points: SetPoints, steady_to_ros_ns: int, way_to_rest: WaysToRest) -> int | None:
        """See :class:`ArmOutput`."""
        del way_to_rest
        command = set_points[-1]
        stamp_ns = command.due_ns + steady_to_ros_ns
        for arm, publisher in self._publishers.items():
            row = self._cobot.arm_slice(arm)
            set_point = arm_command(self._profile, arm, command.positions[row], command.velocities[row])
            publisher.publish(command_message(set_point, stamp_ns))
        return stamp_ns


class JointTrajectoryOutput(TopicOutput):
    """Trajectories for ros2_control's joint_trajectory_controller, each with its own way to rest.

    A message holds the set-points that are committed and the braking behind them, so a controller that hears
    nothing more brings the arms to rest by itself, within their limits.
    """

    message_kind: type = JointTrajectory
    guard_settings: Mapping[str, float | int] = SETTINGS

    def __init__(self, node: Node, profile: RobotProfile, cobot: Cobot) -> None:
        self._node, self._profile, self._cobot = node, profile, cobot
        self.topics: dict[str, tuple[str, ...]] = {
            arm: tuple(
                topic
                for topic in (profile.arms[arm].command_topic, profile.arms[arm].gripper_command_topic)
                if topic
            )
            for arm in ARM_NAMES
        }
        self._publishers: dict[str, Any] = {
            topic: create_publisher(node, JointTrajectory, topic, qos.JOINT_OUTPUT)
            for topics in self.topics.values()
            for topic in topics
        }
        self._plan = TrajectoryPlan()

    def send(self, set_points: SetPoints, steady_to_ros_ns: int, way_to_rest: WaysToRest) -> int | None:
        """See :class:`ArmOutput`."""
        now_ns = time.monotonic_ns()
        if not self._plan.add(set_points, now_ns):
            return None
        rest = way_to_rest(POINT_SPACING_S)
        if rest is None:
            return None
        points, stamp_ns = self._plan.points(rest), now_ns + steady_to_ros_ns
        for arm in ARM_NAMES:
            joints = self._cobot.arm_slice(arm)
            for group in arm_trajectories(self._profile, arm, joints, points, now_ns):
                self._publishers[group.topic].publish(trajectory_message(group, stamp_ns))
        return stamp_ns
