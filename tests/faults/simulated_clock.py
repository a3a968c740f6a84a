"""ROS time from a topic, which can be set like a system's clock."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import time_message

PERIOD_S = 0.004


class SimulatedClock:
    """Publishes the system's time, and from the first jump on another, while the block lasts."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(Clock, "/clock", qos.NEWEST_SAMPLE)
        self._ahead_ns = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def jump(self, by_s: float) -> int:
        """Set ROS time; gives the steady time from which it is."""
        self._ahead_ns += round(by_s * 1e9)
        return time.monotonic_ns()

    def _run(self) -> None:
        while not self._ending.wait(PERIOD_S):
            self._publisher.publish(Clock(clock=time_message(time.time_ns() + self._ahead_ns)))
