"""A Cobot without physics: two arms that stand where the last command put them, and a camera."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, RobotProfile, load_cobot
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.executor_thread import ExecutorThread
from svam_ros.nodes.message_conversion import chunk_message, command_message, image_message, time_message
from svam_ros.translation.commands import arm_command
from svam_ros.translation.joint_states import read_command
from svam_ros.types import ActionChunk, ArmReading


@dataclass
class Heard:
    """Everything the fake robot received."""

    commands: dict[str, list[ArmReading]] = field(default_factory=lambda: {arm: [] for arm in ARM_NAMES})
    chunks: list[JointTrajectory] = field(default_factory=list)


class FakeCobot:
    """Publishes states at 100 Hz and, if asked to, frames at 30 Hz; records what it is told."""

    def __init__(self, profile: RobotProfile, camera: bool = True) -> None:
        self.profile, self.cobot = profile, load_cobot()
        self.heard = Heard()
        self.positions = self.cobot.home.copy()
        self.publish_states = True
        self.stamp_of_states = self.now_ns
        self.sag = 0.0
        self.frame = np.full((480, 640, 3), 127, np.uint8)
        self.camera_is_frozen = False
        self.spoil_frame = lambda message: message
        self._foreign: dict[str, Any] = {}
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("fake_cobot", context=self._context)
        self._states = {
            arm: self.node.create_publisher(JointState, profile.arms[arm].state_topic, qos.JOINT_OUTPUT)
            for arm in ARM_NAMES
        }
        for arm in ARM_NAMES:
            self.node.create_subscription(
                JointState,
                profile.arms[arm].command_topic,
                lambda message, arm=arm: self._on_command(arm, message),
                qos.EVERY_STATE,
            )
        self._images = self.node.create_publisher(Image, profile.camera.image_topic, qos.CAMERA_OUTPUT)
        self._compressed = self.node.create_publisher(
            CompressedImage, graph.compressed_sibling(profile.camera.image_topic), qos.CAMERA_OUTPUT
        )
        self.node.create_subscription(
            JointTrajectory, graph.CHUNK_TOPIC, self.heard.chunks.append, qos.CHUNKS
        )
        self._chunks = self.node.create_publisher(JointTrajectory, graph.CHUNK_TOPIC, qos.CHUNKS)
        self.node.create_timer(0.01, self.tell_states)
        if camera:
            self.node.create_timer(1 / 30, self._publish_frame)
        self._thread = ExecutorThread(self.node, self._context, "fake cobot")

    def close(self) -> None:
        self._thread.close()
        self.node.destroy_node()
        self._context.try_shutdown()
        if self._thread.failure is not None:
            raise self._thread.failure

    def now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def send_chunk(self, rows: np.ndarray, sequence: int, run_id: str = "test", first_step: int = 1) -> None:
        """Publish a chunk whose observation is the present moment."""
        chunk = ActionChunk(rows, self.now_ns(), first_step, self.cobot.control_period_s, run_id, sequence)
        self._chunks.publish(chunk_message(chunk, self.cobot.joint_names))

    def send_chunk_called(self, identity: str) -> None:
        """Publish a sound chunk with the given text as its identity."""
        rows = np.tile(self.cobot.home, (8, 1))
        chunk = ActionChunk(rows, self.now_ns(), 1, self.cobot.control_period_s, "test", 1)
        message = chunk_message(chunk, self.cobot.joint_names)
        message.header.frame_id = identity
        self._chunks.publish(message)

    def send_foreign_command(self, arm: str, positions: np.ndarray) -> None:
        """Publish a set-point as a second commander would."""
        if arm not in self._foreign:
            topic = self.profile.arms[arm].command_topic
            self._foreign[arm] = self.node.create_publisher(JointState, topic, qos.JOINT_OUTPUT)
        command = arm_command(self.profile, arm, positions, np.zeros(7))
        self._foreign[arm].publish(command_message(command, self.now_ns()))

    def send_compressed(self, data: bytes) -> None:
        message = CompressedImage(format="jpeg", data=data)
        message.header.stamp = time_message(self.now_ns())
        self._compressed.publish(message)

    def tell_states(self) -> None:
        """Publish where the arms are, out of turn too."""
        if not self.publish_states:
            return
        for arm in ARM_NAMES:
            positions = self.positions[self.cobot.arm_slice(arm)] - self.sag * np.array([1.0] * 6 + [0.0])
            command = arm_command(self.profile, arm, positions, np.zeros(7))
            state = replace(command, joint_names=self.profile.arms[arm].state_joint_names)
            self._states[arm].publish(command_message(state, self.stamp_of_states()))

    def _publish_frame(self) -> None:
        if not self.camera_is_frozen:
            self.frame[0, 0] ^= 1  # The noise that every real camera has.
        message = image_message(self.frame, self.now_ns(), self.profile.camera.frame_id)
        self._images.publish(self.spoil_frame(message))

    def _on_command(self, arm: str, message: JointState) -> None:
        reading = read_command(message, self.profile, arm)
        self.heard.commands[arm].append(reading)
        self.positions[self.cobot.arm_slice(arm)] = reading.positions


def wait_for(condition, timeout_s: float = 10.0, what: str = "condition") -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout_s} s"
        time.sleep(0.01)


def stream(robot: FakeCobot, seconds: float, amplitude: float = 0.3, run_id: str = "test") -> None:
    """Chunks every 200 ms that swing joint 1 of both arms around home."""
    began = time.monotonic()
    sequence = 0
    while (elapsed := time.monotonic() - began) < seconds:
        sequence += 1
        times = elapsed + (np.arange(8) + 2) * 0.04
        rows = np.tile(robot.cobot.home, (8, 1))
        rows[:, [0, 7]] += amplitude * np.sin(2.0 * times)[:, None]
        robot.send_chunk(rows, sequence, run_id)
        time.sleep(0.2)
