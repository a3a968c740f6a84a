"""What a node does on the graph, as ROS 2 itself reports it."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node

from svam_ros.bringup.access_policy import NodeAccess


def node_access(observer: Node, name: str, namespace: str) -> NodeAccess:
    """Topics and services of the node ``name`` in ``namespace``, both as the graph calls them."""

    def names(listed: Sequence[tuple[str, Sequence[str]]]) -> frozenset[str]:
        return frozenset(topic for topic, _types in listed)

    return NodeAccess(
        name,
        namespace,
        publishes=names(observer.get_publisher_names_and_types_by_node(name, namespace)),
        subscribes=names(observer.get_subscriber_names_and_types_by_node(name, namespace)),
        serves=names(observer.get_service_names_and_types_by_node(name, namespace)),
        calls=names(observer.get_client_names_and_types_by_node(name, namespace)),
    )
