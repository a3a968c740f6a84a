"""ROS time of a node, held against steady time."""

from __future__ import annotations

import time

from rclpy.node import Node

from svam_ros.control.plan_clock import PlanClock

MOMENT_NS = 5_000_000
"""A reading that took longer says nothing: the process was kept waiting between the two clocks."""


class RosClock:
    """Reads steady and ROS time together; see :class:`svam_ros.control.plan_clock.PlanClock`."""

    def __init__(self, node: Node) -> None:
        self._clock = node.get_clock()
        self._plan = PlanClock(time.monotonic_ns(), self.now_ns())

    def now_ns(self) -> int:
        """ROS time."""
        return int(self._clock.now().nanoseconds)

    @property
    def steady_to_ros_ns(self) -> int:
        """Add this to steady time to get the ROS time of stamps."""
        return self._plan.steady_to_ros_ns

    def jump_s(self) -> float | None:
        """By how much ROS time has jumped since the last call; ``None`` where it has not."""
        before_ns = time.monotonic_ns()
        ros_ns = self.now_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns > MOMENT_NS:
            return None
        return self._plan.follow((before_ns + after_ns) // 2, ros_ns)
