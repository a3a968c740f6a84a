"""The policy's signs of life, and how the guard is told that one was missed.

The middleware watches over them: its deadline tells that messages stay away, manual liveliness that the
publisher no longer vouches for itself. Both notice a process that was killed, sleeps, or hangs in a call that
keeps Python's interpreter. A forward pass that takes long is another matter, which the policy names itself.
"""

from __future__ import annotations

from rclpy.event_handler import (
    QoSLivelinessChangedInfo,
    QoSRequestedDeadlineMissedInfo,
    SubscriptionEventCallbacks,
)
from rclpy.node import Node
from std_msgs.msg import String

from svam_ros import graph
from svam_ros.control.policy_watch import PolicyWatch
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions


class SignOfLife:
    """Given from a timer of the node while a run makes chunks: none where its callbacks do not run."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(String, graph.SIGN_OF_LIFE_TOPIC, qos.SIGN_OF_LIFE)
        self._run_id = ""
        node.create_timer(qos.SIGN_OF_LIFE_PERIOD_S, self._give)

    def begin(self, run_id: str) -> None:
        """From now on this run lives."""
        self._run_id = run_id
        self._give()

    def end(self) -> None:
        """Take leave: no more chunks will come, and nobody has to worry."""
        if self._run_id:
            self._run_id = ""
            self._publisher.publish(String())

    def _give(self) -> None:
        if self._run_id:
            self._publisher.publish(String(data=self._run_id))


def watch_policy(inputs: PolledSubscriptions, watch: PolicyWatch) -> None:
    """Tell ``watch`` of every sign of life, and of every one that was missed."""

    def on_deadline(_info: QoSRequestedDeadlineMissedInfo) -> None:
        watch.missed(f"none for {qos.SIGN_OF_LIFE.deadline.nanoseconds / 1e6:.0f} ms; is its process up?")

    def on_liveliness(info: QoSLivelinessChangedInfo) -> None:
        if info.alive_count == 0:
            watch.missed("it no longer vouches for itself; is its process up?")

    inputs.subscribe(
        String,
        graph.SIGN_OF_LIFE_TOPIC,
        lambda message: watch.heard(message.data),
        qos.SIGN_OF_LIFE,
        events=SubscriptionEventCallbacks(deadline=on_deadline, liveliness=on_liveliness),
    )
