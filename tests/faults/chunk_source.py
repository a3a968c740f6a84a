"""Chunks of a swing in the policy's place, which may be spoilt on their way."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import Cobot
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import chunk_message
from svam_ros.types import ActionChunk

PERIOD_S = 0.16
STEPS = 12
Spoil = Callable[[JointTrajectory], list[JointTrajectory]]


def as_they_are(message: JointTrajectory) -> list[JointTrajectory]:
    """Nothing is spoilt."""
    return [message]


class ChunkSource:
    """Publishes a chunk every 160 ms, each continuing the same swing, under a run id of its own."""

    def __init__(self, node: Node, cobot: Cobot) -> None:
        self._node, self._cobot = node, cobot
        self._publisher = node.create_publisher(JointTrajectory, graph.CHUNK_TOPIC, qos.CHUNKS)
        self._running = threading.Event()
        self._ending = threading.Event()
        self._spoil: Spoil = as_they_are
        self._run_id, self._sequence = "", 0
        self._thread = threading.Thread(target=self._run, name="chunk source", daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Begin a new run, unspoilt."""
        self._spoil = as_they_are
        self._run_id, self._sequence = secrets.token_hex(4), 0
        self._running.set()

    def pause(self) -> None:
        """Send nothing."""
        self._running.clear()

    def spoil(self, spoil: Spoil) -> int:
        """From now on each chunk is replaced by what ``spoil`` makes of it; gives the steady time."""
        self._spoil = spoil
        return time.monotonic_ns()

    def flood(self, message: JointTrajectory, count: int, seconds: float) -> int:
        """Send a message so often within so long; gives the steady time of the first."""
        began_ns = time.monotonic_ns()
        for number in range(count):
            self._publisher.publish(message)
            time.sleep(max(0.0, seconds * number / count - (time.monotonic_ns() - began_ns) / 1e9))
        return began_ns

    def chunk(self) -> JointTrajectory:
        """The next one, as of now."""
        now_ns = self._node.get_clock().now().nanoseconds
        due_s = now_ns / 1e9 + 0.04 * np.arange(1, STEPS + 1)
        rows = np.tile(self._cobot.home, (STEPS, 1))
        rows[:, [0, 7]] += 0.4 * np.sin(2.0 * np.pi * due_s / 2.5)[:, None]
        self._sequence += 1
        chunk = ActionChunk(rows, now_ns, 0, self._cobot.control_period_s, self._run_id, self._sequence)
        return chunk_message(chunk, self._cobot.joint_names)

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self._running.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(PERIOD_S):
            if self._running.is_set():
                for message in self._spoil(self.chunk()):
                    self._publisher.publish(message)
