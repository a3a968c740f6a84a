"""Managed nodes through their lifecycle again and again, in one process: nothing is left behind."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from support.fake_cobot import FakeCobot, stream, wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.cobot import load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.guard_session import GuardSession
from svam_ros.nodes.robot_operator import Operator
from svam_ros.parameters import GuardParameters, ParameterError

PROFILE = load_robot_profile("cobot_magic")
WARM_UP, ROUNDS = 6, 30
MOST_GROWTH_MB = {graph.GUARD_NODE: 2.0, graph.POLICY_NODE: 6.0}
"""Of resident memory over all rounds; the policy's comes and goes with frames of 0.9 MB each."""


@dataclass(frozen=True)
class Held:
    """What a process holds while its node is unconfigured."""

    descriptors: int
    threads: int
    endpoints: Counter[str]
    """Its publishers and subscriptions, by topic."""
    resident_mb: float


def held(operator: Operator, pid: int, name: str) -> Held:
    process = psutil.Process(pid)
    return Held(
        process.num_fds(),
        process.num_threads(),
        endpoints(operator, name),
        process.memory_info().rss / 2**20,
    )


def endpoints(operator: Operator, name: str) -> Counter[str]:
    node = operator.node
    topics = [topic for topic, _types in node.get_topic_names_and_types()]
    return Counter(
        topic
        for topic in topics
        for listed in (node.get_publishers_info_by_topic, node.get_subscriptions_info_by_topic)
        for info in listed(topic)
        if info.node_name == name
    )


@pytest.fixture
def robot(ros_domain):
    made = FakeCobot(PROFILE)
    yield made
    made.close()


@pytest.fixture
def operator(ros_domain):
    made = Operator(PROFILE)
    yield made
    made.close()


def lead_round_and_round(operator: Operator, name: str, work: Callable[[int], None], pid: int) -> None:
    """The same descriptors, threads and endpoints after every round, and hardly more memory in the end."""

    def one_round(number: int) -> None:
        operator.transition(name, "configure", 60.0)
        operator.transition(name, "activate", 60.0)
        work(number)
        operator.transition(name, "deactivate", 60.0)
        operator.transition(name, "cleanup", 60.0)

    for number in range(WARM_UP):
        one_round(number)
    wait_for(lambda: graph.MOTION_TOPIC not in endpoints(operator, name), 10.0)
    before = held(operator, pid, name)
    for number in range(WARM_UP, WARM_UP + ROUNDS):
        one_round(number)
        wait_for(lambda: endpoints(operator, name) == before.endpoints, 10.0, "the same endpoints")
    after = held(operator, pid, name)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.resident_mb - before.resident_mb < MOST_GROWTH_MB[name]


@pytest.mark.slow
def test_a_guard_can_be_led_round_and_round(supervisor, robot, operator):
    supervisor.start(spec(graph.GUARD_NODE, autostart=False))

    def move(number: int) -> None:
        """In some rounds the arms move and the black box has something to write."""
        if number % 6 == 0:
            operator.motion = {}
            wait_for(lambda: "joint_state_age_ms" in operator.motion, 20.0, "joint states")
            operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE, 20.0)
            stream(robot, 0.7, run_id=f"round{number}")

    operator.lifecycle_state(graph.GUARD_NODE, 30.0)
    lead_round_and_round(operator, graph.GUARD_NODE, move, supervisor.pid(graph.GUARD_NODE))


@pytest.mark.slow
def test_a_policy_can_be_led_round_and_round(supervisor, robot, operator):
    model = "motion=sine amplitude=0.2 period_s=4.0"
    supervisor.start(spec(graph.POLICY_NODE, model=model, instruction="swing"))

    def make_a_chunk(_number: int) -> None:
        count = len(robot.heard.chunks)
        wait_for(lambda: len(robot.heard.chunks) > count, 60.0, "a chunk")

    operator.lifecycle_state(graph.POLICY_NODE, 30.0)
    lead_round_and_round(operator, graph.POLICY_NODE, make_a_chunk, supervisor.pid(graph.POLICY_NODE))


@pytest.fixture
def node(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    made = Node("holder", context=context)
    yield made
    made.destroy_node()
    context.try_shutdown()


def traces(node: Node) -> tuple[int, ...]:
    """Everything that a node knows of its entities; rclpy's groups remember those that are gone, too."""
    listed = (node.publishers, node.subscriptions, node.services, node.timers, node.waitables)
    return (*(len(list(entities)) for entities in listed), len(node.default_callback_group.entities))


@pytest.mark.parametrize("profile", ["cobot_magic", "ros2_control"])
def test_a_session_that_is_closed_leaves_no_trace_on_its_node(node, profile):
    diagnostics = node.create_publisher(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, qos.STATUS)
    before = traces(node)
    session = GuardSession(node, GuardParameters(profile=profile), diagnostics, "")
    for _ in range(3):
        session.cycle()
    assert traces(node) > before
    session.close()
    assert traces(node) == before
    alive = weakref.ref(session)
    del session
    gc.collect()
    assert alive() is None


def test_a_session_that_cannot_be_opened_leaves_no_trace_either(node):
    diagnostics = node.create_publisher(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, qos.STATUS)
    before, threads = traces(node), threading.active_count()
    with pytest.raises(ParameterError, match="25 to 200"):
        GuardSession(node, GuardParameters(command_rate_hz=10.0), diagnostics, "")
    assert (traces(node), threading.active_count()) == (before, threads)
