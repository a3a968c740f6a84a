"""Publishers that come and go while their node lives, without leaving a trace on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile


def create_publisher(node: Node, kind: type, topic: str, qos: QoSProfile) -> Any:
    """A publisher whose events have a callback group of their own.

    rclpy's groups keep a trace of every entity that they ever had, and the node's own lives as long as it.
    """
    return node.create_publisher(kind, topic, qos, callback_group=MutuallyExclusiveCallbackGroup())


def destroy_publishers(node: Node, publishers: Iterable[Any]) -> None:
    """Destroy them."""
    for publisher in publishers:
        node.destroy_publisher(publisher)
