"""Writes what passes on the topics into an episode file, without decoding it.

Subscriptions are raw: the bytes that DDS delivered go into the file as they are. A failing recorder
never touches motion.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, RobotProfile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.recording.episode_file import RecordingError
from svam_ros.recording.episode_writer import EpisodeWriter
from svam_ros.recording.message_schemas import message_schema

_ENCAPSULATION_BYTES = 4


@dataclass(frozen=True)
class RecordedTopic:
    """A topic that goes into the episode."""

    name: str
    """Fully resolved."""
    kind: type
    type_name: str
    stamped: bool
    """Begins with a ``std_msgs/Header``, whose stamp becomes the publish time."""


class EpisodeRecorder:
    """Records the robot's and our topics of one node's context, an episode at a time.

    Args:
        node: whose clock and name space are used.
        streams: subscribes and polls; its thread hands messages to the writer.
        profile: says which the robot's topics are.
    """

    def __init__(self, node: Node, streams: PolledSubscriptions, profile: RobotProfile) -> None:
        self._node = node
        self._writer: EpisodeWriter | None = None
        self.failure: str | None = None
        self.counts: Counter[str] = Counter()
        self.topics = _recorded_topics(node, profile)
        for topic in self.topics:
            latched = topic.name.endswith(graph.INSTRUCTION_TOPIC)
            streams.subscribe(
                topic.kind,
                topic.name,
                partial(self._on_message, topic),
                qos.LATCHED if latched else qos.RECORDING,
                raw=True,
            )
        self._last_instruction: bytes | None = None
        self._lock = threading.Lock()

    def begin(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Start an episode file; what is latched goes in first.

        Raises:
            RecordingError: the file cannot be made.
        """
        writer = EpisodeWriter(path, metadata)
        for topic in self.topics:
            writer.add_topic(topic.name, topic.type_name, message_schema(topic.type_name))
        with self._lock:
            self.counts = Counter()
            if self._last_instruction is not None:
                name = next(t.name for t in self.topics if t.name.endswith(graph.INSTRUCTION_TOPIC))
                now_ns = self._now_ns()
                writer.write(name, self._last_instruction, now_ns, now_ns)
            self._writer = writer

    def end(self, outcome: Mapping[str, str]) -> int:
        """Close the episode file.

        Returns:
            How many messages were dropped because the disk did not keep up.

        Raises:
            RecordingError: the file could not be finished.
        """
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is None:
            return 0
        writer.close(outcome)
        return writer.dropped

    def abandon(self) -> None:
        """Stop without an outcome; the partial file stays, recoverable."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()

    def _on_message(self, topic: RecordedTopic, cdr: bytes) -> None:
        with self._lock:
            if topic.kind is String:
                self._last_instruction = cdr
            if self._writer is None:
                return
            now_ns = self._now_ns()
            try:
                stamp_ns = header_stamp_ns(cdr) if topic.stamped else now_ns
                self._writer.write(topic.name, cdr, now_ns, stamp_ns)
                self.counts[topic.name] += 1
            except RecordingError as error:
                self._writer = None
                self.failure = str(error)
                self._node.get_logger().error(f"recording ended: {error}")

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def header_stamp_ns(cdr: bytes) -> int:
    """The stamp of a serialised message that begins with a ``std_msgs/Header``."""
    little_endian = cdr[1] & 1
    sec, nanosec = struct.unpack_from("<iI" if little_endian else ">iI", cdr, _ENCAPSULATION_BYTES)
    return int(sec) * 1_000_000_000 + int(nanosec)


def _recorded_topics(node: Node, profile: RobotProfile) -> list[RecordedTopic]:
    def topic(name: str, kind: Any, stamped: bool = True) -> RecordedTopic:
        package = kind.__module__.split(".")[0]
        return RecordedTopic(node.resolve_topic_name(name), kind, f"{package}/msg/{kind.__name__}", stamped)

    topics = [
        topic(profile.camera.image_topic, Image),
        topic(profile.camera.camera_info_topic, CameraInfo),
        topic(graph.CHUNK_TOPIC, JointTrajectory),
        topic(graph.TIMING_TOPIC, DiagnosticArray),
        topic(graph.MOTION_TOPIC, DiagnosticArray),
        topic(graph.EPISODE_TOPIC, DiagnosticArray),
        topic(graph.INSTRUCTION_TOPIC, String, stamped=False),
    ]
    for arm in ARM_NAMES:
        topics.append(topic(profile.arms[arm].state_topic, JointState))
        topics.append(topic(profile.arms[arm].command_topic, JointState))
    return topics
