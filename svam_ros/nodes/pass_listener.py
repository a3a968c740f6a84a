"""Takes down what running nodes say of their passes, and when the arms were told something.

It only listens: what it hears is what the nodes publish anyway.
"""

from __future__ import annotations

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.exceptions import InvalidNamespaceException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.command_log import CommandLog
from svam_ros.nodes.message_conversion import status_values
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions, PollingThread
from svam_ros.recording.demo_episode import StageTimes, read_stage_times
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns

NODE = "svam_profile"
POLL_S = 0.05


class NothingHeard(RuntimeError):
    """No pass was announced in time; the text says where was listened."""


class NoNamespace(ValueError):
    """Names that ROS does not allow; the text says what is wrong with it."""


class PassListener:
    """Passes of policy_node and set-points of both arms, from the moment in which it is made.

    Args:
        profile: says where set-points go.
        cobot: the robot.
        namespace: where our nodes are.

    Raises:
        NoNamespace: ROS does not allow it.
    """

    def __init__(self, profile: RobotProfile, cobot: Cobot, namespace: str = "") -> None:
        self._cobot = cobot
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        try:
            self._node = Node(NODE, namespace=namespace, context=self._context)
        except InvalidNamespaceException as error:
            self._context.try_shutdown()
            raise NoNamespace(f"--namespace '{namespace}': {' '.join(str(error).split())}") from error
        self.passes: list[StageTimes] = []
        self.observed_ns: dict[tuple[str, int], int] = {}
        """Run and sequence of each chunk that was heard -> stamp of the frame that it was made from."""
        self._policies: dict[str, dict[str, str]] = {}
        """By run: /diagnostics is that of all namespaces."""
        streams = PolledSubscriptions(self._node)
        self.commands = CommandLog(streams, profile, cobot)
        streams.subscribe(JointTrajectory, graph.CHUNK_TOPIC, self._on_chunk, qos.CHUNKS)
        streams.subscribe(DiagnosticArray, graph.TIMING_TOPIC, self._on_timing, qos.STATUS)
        streams.subscribe(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, self._on_diagnostics, qos.STATUS)
        self._thread = PollingThread(streams)

    def close(self) -> None:
        """Leave the graph."""
        self._thread.close()
        self._node.destroy_node()
        self._context.try_shutdown()

    def wait_for_pass(self, known: int, patience_s: float) -> None:
        """Wait until more than ``known`` passes were heard.

        Raises:
            NothingHeard: none was for ``patience_s``.
            Exception: what ended the receiving thread.
        """
        deadline = time.monotonic() + patience_s
        while len(self.passes) <= known:
            if self._thread.failure is not None:
                raise self._thread.failure
            if time.monotonic() > deadline:
                raise NothingHeard(f"no pass in {patience_s:g} s on {self.timing_topic}")
            time.sleep(POLL_S)

    @property
    def policy(self) -> dict[str, str]:
        """What the node that made the last pass said of itself: model, engine, mode. Empty: nothing yet."""
        return self._policies.get(self.passes[-1].run_id, {}) if self.passes else {}

    def wait_for_policy(self, patience_s: float) -> None:
        """Wait until policy_node has said what it runs, which it does once a second, or it is too late."""
        deadline = time.monotonic() + patience_s
        while not self.policy and time.monotonic() < deadline:
            time.sleep(POLL_S)

    @property
    def timing_topic(self) -> str:
        """Its full name."""
        return self._node.resolve_topic_name(graph.TIMING_TOPIC)

    def set_point_stamps_ns(self) -> dict[str, list[int]]:
        """By arm, those that were heard, in the order of arrival."""
        return {arm: [reading.stamp_ns for reading in self.commands.readings(arm)] for arm in ARM_NAMES}

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            chunk = read_chunk(message, self._cobot)
        except RejectedMessage:  # the guard says so; here its pass is dated by its age
            return
        self.observed_ns[chunk.run_id, chunk.sequence] = chunk.observation_stamp_ns

    def _on_timing(self, message: DiagnosticArray) -> None:
        values = status_values(message, graph.TIMING_STATUS)
        self.passes.append(read_stage_times(values, stamp_to_ns(message.header.stamp)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if values := status_values(message, graph.POLICY_NODE):
            self._policies[values.get("run_id", "")] = values
