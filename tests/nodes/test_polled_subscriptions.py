"""Polled subscriptions beside real publishers: messages when polled, events without being polled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
import rclpy
from rclpy import executors
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from support.fake_cobot import wait_for

from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.polled_subscriptions import EVENT_WINDOW_S, PolledSubscriptions

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def bench(ros_domain) -> Iterator[tuple[Node, PolledSubscriptions, SingleThreadedExecutor]]:
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("polling", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    polled = PolledSubscriptions(node)
    yield node, polled, executor
    polled.close()
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def test_messages_wait_for_the_poll_and_the_executor_leaves_them_alone(bench):
    node, polled, executor = bench
    heard: list[str] = []
    polled.subscribe(String, "words", lambda message: heard.append(message.data), qos.CHUNKS)
    publisher = node.create_publisher(String, "words", qos.CHUNKS)
    wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="one"))
    for _ in range(20):
        executor.spin_once(timeout_sec=0.01)
    assert heard == []

    def arrived() -> bool:
        polled.poll()
        return heard == ["one"]

    wait_for(arrived)


def test_a_publisher_that_cannot_be_heard_is_reported_through_the_executor(bench, capfd):
    """The classic silent failure: a topic that never delivers, as the two sides promise different things."""
    node, polled, executor = bench
    polled.subscribe(String, "words", lambda _message: None, qos.CHUNKS)
    node.create_publisher(String, "words", BEST_EFFORT)
    said: list[str] = []

    def reported() -> bool:
        executor.spin_once(timeout_sec=0.01)
        said.append(capfd.readouterr().err)
        # The publisher's own report says "sent"; it is the subscription's that must be heard.
        return "No messages will be received" in "".join(said)

    wait_for(reported, what="the subscription's report of incompatible quality of service")


def test_the_executor_sleeps_while_messages_wait_to_be_polled(bench, monkeypatch):
    """An unread message wakes whoever waits for an event of its subscription: it once kept a core busy."""
    node, polled, executor = bench
    polled.subscribe(String, "words", lambda _message: None, qos.CHUNKS)
    publisher = node.create_publisher(String, "words", qos.CHUNKS)
    wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="one"))
    executor.spin_once(timeout_sec=0.0)
    time.sleep(EVENT_WINDOW_S)
    asked = count_questions(monkeypatch)
    until_s = time.monotonic() + 1.0
    while time.monotonic() < until_s:
        executor.spin_once(timeout_sec=0.1)
    assert max(asked.values()) < 60, "a question or two for each of ten waits; it was thousands"


def count_questions(monkeypatch) -> Counter[int]:
    """How often the executor asks of each service whether it may be waited for: once for every wait."""
    asked: Counter[int] = Counter()
    ask = executors.Executor.can_execute

    def counted(self, entity) -> bool:
        if isinstance(entity, Service):
            asked[id(entity)] += 1
        return bool(ask(self, entity))

    monkeypatch.setattr(executors.Executor, "can_execute", counted)
    return asked
