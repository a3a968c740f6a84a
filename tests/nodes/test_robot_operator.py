"""The operator's requests to real services that lose an answer, as DDS may lose the first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.event_handler import EventHandler
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from svam_ros.cobot import load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.executor_thread import ExecutorThread
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.nodes.robot_operator import NotInTime, Operator, OperatorError

PATIENCE_S = 0.3


@dataclass
class Services:
    """A managed node's services, and a Trigger; the first answers of each may be lost."""

    node: Node
    calls: list[str] = field(default_factory=list)
    state: str = "inactive"
    obey: bool = True
    lost_requests: int = 0
    """So many transitions are asked for in vain."""
    slow_to_tell: int = 0
    """So often it says that it is still inactive."""

    def offer(self, lost_answers: int) -> None:
        """Create the services; each loses its first answers, those of ``get_state`` apart."""
        for kind, name, callback in (
            (Trigger, "worker/engage", self._engage),
            (ChangeState, "worker/change_state", self._change_state),
        ):
            service = self.node.create_service(kind, name, callback)
            service.send_response = Lossy(service.send_response, lost_answers)
        self.node.create_service(GetState, "worker/get_state", self._get_state)

    def _engage(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.calls.append("engage")
        response.success, response.message = self.obey, f"call {len(self.calls)}"
        return response

    def _change_state(
        self, _request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        if self.lost_requests > 0:
            self.lost_requests -= 1
            return response
        self.calls.append("change")
        response.success = self.obey and self.state == "inactive"
        if response.success:
            self.state = "active"
        return response

    def _get_state(self, _request: GetState.Request, response: GetState.Response) -> GetState.Response:
        response.current_state.label = self.state
        if self.slow_to_tell > 0:
            self.slow_to_tell -= 1
            response.current_state.label = "inactive"
        return response


@dataclass
class Lossy:
    """Sends answers, but for the first few."""

    send: Any
    lost: int

    def __call__(self, *arguments: Any) -> None:
        if self.lost > 0:
            self.lost -= 1
            return
        self.send(*arguments)


@pytest.fixture
def bench(ros_domain) -> Iterator[tuple[Services, Operator]]:
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("worker", context=context)
    services = Services(node)
    thread = ExecutorThread(node, context, "worker")
    operator = Operator(load_robot_profile("cobot_magic"), answer_patience_s=PATIENCE_S)
    yield services, operator
    operator.close()
    thread.close()
    node.destroy_node()
    context.try_shutdown()


def test_a_request_whose_answer_was_lost_is_made_again(bench):
    services, operator = bench
    services.offer(lost_answers=1)
    assert operator.trigger("worker", "~/engage", timeout_s=20.0) == "call 2"
    assert services.calls == ["engage", "engage"]


def test_clients_are_kept_and_the_one_that_stops_is_there_before_the_first_call(bench):
    services, operator = bench
    assert names_of_clients(operator) == ["guard_node/stop"]
    services.offer(lost_answers=0)
    for _ in range(3):
        operator.trigger("worker", "~/engage", timeout_s=20.0)
    assert names_of_clients(operator) == ["guard_node/stop", "worker/engage"]


def names_of_clients(operator: Operator) -> list[str]:
    return [client.srv_name.lstrip("/") for client in operator.node.clients]


def test_a_refusal_is_not_asked_again(bench):
    services, operator = bench
    services.obey = False
    services.offer(lost_answers=0)
    with pytest.raises(OperatorError, match="worker/engage refused: call 1"):
        operator.trigger("worker", "~/engage", timeout_s=20.0)


def test_without_any_answer_the_operator_gives_up_and_says_which_service(bench):
    services, operator = bench
    services.offer(lost_answers=1000)
    with pytest.raises(NotInTime, match="the answer of worker/engage"):
        operator.trigger("worker", "~/engage", timeout_s=1.5)
    assert len(services.calls) > 1


def test_a_transition_whose_answer_was_lost_is_not_made_twice(bench):
    services, operator = bench
    services.offer(lost_answers=1)
    operator.transition("worker", "activate", timeout_s=20.0)
    assert services.calls == ["change"]
    assert services.state == "active"


def test_a_transition_that_was_never_done_is_not_taken_for_done(bench):
    services, operator = bench
    services.obey = False
    services.offer(lost_answers=1)
    with pytest.raises(OperatorError, match="worker could not activate"):
        operator.transition("worker", "activate", timeout_s=20.0)
    assert services.calls == ["change", "change"]


def test_a_transition_whose_request_was_lost_is_asked_for_again(bench):
    services, operator = bench
    services.lost_requests = 1
    services.offer(lost_answers=1)
    operator.transition("worker", "activate", timeout_s=20.0)
    assert services.calls == ["change"]
    assert services.state == "active"


def test_a_repeated_transition_that_the_first_request_has_done_is_done(bench):
    services, operator = bench
    services.slow_to_tell = 1
    services.offer(lost_answers=1)
    operator.transition("worker", "activate", timeout_s=20.0)
    assert services.calls == ["change", "change"]


def test_what_another_thread_destroys_does_not_end_the_operators_receiving(bench, monkeypatch):
    services, operator = bench
    services.offer(lost_answers=0)
    polled = PolledSubscriptions(operator.node)
    destroyed = threading.Event()
    add_to_wait_set = EventHandler.add_to_wait_set

    def destroy_first(handler: EventHandler, wait_set: Any) -> None:
        """The moment that hurts: rclpy has looked whether the event is still there, but not used it."""
        if not destroyed.is_set():
            destroyed.set()
            polled.close()
        add_to_wait_set(handler, wait_set)

    monkeypatch.setattr(EventHandler, "add_to_wait_set", destroy_first)
    polled.subscribe(String, "somewhere", lambda _message: None, qos.STATUS)
    assert destroyed.wait(10.0)
    assert operator.trigger("worker", "~/engage", timeout_s=20.0) == "call 1"


def test_an_operator_that_receives_no_more_says_so_instead_of_waiting(bench):
    services, operator = bench

    def fail(_values: dict[str, str]) -> None:
        raise ValueError("a listener's mistake")

    operator.node.create_subscription(String, "mistaken", fail, qos.LATCHED)
    services.node.create_publisher(String, "mistaken", qos.LATCHED).publish(String(data="x"))
    with pytest.raises(OperatorError, match=r"receiving messages failed.*a listener's mistake"):
        operator.wait_until("anything", lambda: False, 20.0)
