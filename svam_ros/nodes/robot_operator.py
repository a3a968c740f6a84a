"""What an operator does at the topics and services, as a class: used by `svam demo` and by tests.

Runs a node of its own in a thread of its own; every method may be called from the main thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from svam_ros import graph
from svam_ros.bringup.shared_memory_health import port_is_lost
from svam_ros.cobot import RobotProfile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.executor_thread import ExecutorThread
from svam_ros.nodes.message_conversion import status_values
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions, PollingThread
from svam_ros.translation.stamps import stamp_to_ns

T = TypeVar("T")
POLL_S = 0.02

RESULTS = {
    "configure": "inactive",
    "activate": "active",
    "deactivate": "inactive",
    "cleanup": "unconfigured",
    "shutdown": "finalized",
}
"""State that a transition leads to, both by their labels in lifecycle_msgs."""

ANSWER_PATIENCE_S = 4.0
"""Far longer than any of our services takes to answer."""


class OperatorError(RuntimeError):
    """A node did not do what it was asked to; the text says which and why."""


class TransitionRefused(OperatorError):
    """A managed node could not do a transition; its log says why."""


class NotInTime(OperatorError):
    """Something that was waited for did not happen in time."""


class Operator:
    """Configures, engages, stops, resets, gives instructions, and reads the statuses.

    Args:
        profile: the robot's dialect.
        namespace: where our nodes are.
        on_timing: called with the values of every timing message, in the operator's thread.
        check: called while waiting; raises to end the wait early (a child process died, say).
        answer_patience_s: after this time without an answer a request is repeated, or its effect looked at.
    """

    def __init__(
        self,
        profile: RobotProfile,
        namespace: str = "",
        on_timing: Callable[[dict[str, str]], None] = lambda _values: None,
        check: Callable[[], None] = lambda: None,
        answer_patience_s: float = ANSWER_PATIENCE_S,
    ) -> None:
        self._check = check
        self._answer_patience_s = answer_patience_s
        self._on_timing = on_timing
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("svam_operator", namespace=namespace, context=self._context)
        self.frames_seen = 0
        self.motion: dict[str, str] = {}
        self.motion_stamp_ns = 0
        """When the guard told that, ROS time."""
        self.episode: dict[str, str] = {}
        self.streams = PolledSubscriptions(self.node)
        """Where recorders and logs subscribe: emptied 200 times a second in a thread of its own."""
        self._frames = PolledSubscriptions(self.node)
        self._frames.subscribe(Image, profile.camera.image_topic, self._on_frame, qos.NEWEST_FRAME, raw=True)
        self._frame_thread = PollingThread(self._frames)
        self._listen(graph.MOTION_TOPIC, self._on_motion)
        self._listen(graph.EPISODE_TOPIC, self._on_episode)
        self._listen(graph.TIMING_TOPIC, self._on_timing_message)
        self._instructions = self.node.create_publisher(String, graph.INSTRUCTION_TOPIC, qos.LATCHED)
        self._clients: dict[str, Client] = {}
        self._client(Trigger, graph.STOP_SERVICE.replace("~", graph.GUARD_NODE))  # found before it is needed
        self._stream_thread = PollingThread(self.streams)
        self._callback_thread = ExecutorThread(self.node, self._context, "operator")

    def close(self) -> None:
        """Leave the graph."""
        self._frame_thread.close()
        self._stream_thread.close()
        self._callback_thread.close()
        self.node.destroy_node()
        self._context.try_shutdown()

    # -- requests -------------------------------------------------------------------------------

    def transition(self, node_name: str, transition: str, timeout_s: float) -> None:
        """Lead a managed node through one of the transitions in :data:`RESULTS`.

        Raises:
            TransitionRefused: the node could not.
        """
        request = ChangeState.Request(transition=Transition(label=transition))

        def done_anyway() -> bool:
            return self.lifecycle_state(node_name, timeout_s) == RESULTS[transition]

        response = self._call(ChangeState, f"{node_name}/change_state", request, timeout_s, done_anyway)
        # Where a request was repeated, the first may have done it, and the second then cannot.
        if response is not None and not response.success and not done_anyway():
            raise TransitionRefused(f"{node_name} could not {transition}")

    def lifecycle_state(self, node_name: str, timeout_s: float = 5.0) -> str:
        """Where a managed node is, by its label in lifecycle_msgs."""
        state = self._call(GetState, f"{node_name}/get_state", GetState.Request(), timeout_s)
        return str(state.current_state.label)

    def trigger(self, node_name: str, service: str, timeout_s: float = 5.0) -> str:
        """Call one of the Trigger services, such as ``graph.ENGAGE_SERVICE``; returns its message.

        Raises:
            OperatorError: refused, with the node's reasons.
        """
        name = service.replace("~", node_name)
        response = self._call(Trigger, name, Trigger.Request(), timeout_s)
        if not response.success:
            raise OperatorError(f"{name} refused: {response.message}")
        return str(response.message)

    def set_parameters(self, node_name: str, values: dict[str, str | int | float | bool]) -> None:
        """Set parameters of another node; all or an error."""
        request = SetParameters.Request(
            parameters=[Parameter(name=k, value=_parameter_value(v)) for k, v in values.items()]
        )
        response = self._call(SetParameters, f"{node_name}/set_parameters", request, 5.0)
        reasons = [result.reason for result in response.results if not result.successful]
        if reasons:
            raise OperatorError(f"{node_name} refused parameters: {'; '.join(reasons)}")

    def instruct(self, text: str) -> None:
        """Publish the instruction, latched."""
        self._instructions.publish(String(data=text))

    def now_ns(self) -> int:
        """ROS time, as in the stamps of what is heard."""
        return int(self.node.get_clock().now().nanoseconds)

    def wait_until(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait for ``condition``.

        Raises:
            OperatorError: it did not come true in time.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise NotInTime(f"{what} did not happen within {timeout_s:.0f} s{_why_nothing_is_heard()}")
            time.sleep(POLL_S)

    def check(self) -> None:
        """Raise when the receiving thread has ended, or when the owner's check says so.

        Raises:
            OperatorError: messages are no longer received.
        """
        threads = (self._stream_thread, self._frame_thread, self._callback_thread)
        failure = next((thread.failure for thread in threads if thread.failure is not None), None)
        if failure is not None:
            raise OperatorError(f"receiving messages failed: {failure!r}")
        self._check()

    def stop_watching_frames(self) -> None:
        """Frames are only watched until the camera is known to run: they cost too much to count."""
        self._frame_thread.close()

    # -- the rest -------------------------------------------------------------------------------

    def _call(
        self,
        kind: Any,
        name: str,
        request: Any,
        timeout_s: float,
        done_anyway: Callable[[], bool] | None = None,
    ) -> Any:
        """Call a service and wait for its answer.

        DDS may lose the first answer: the service can find the client's request before it has found
        where to answer; and on a busy machine it may lose the request. So it is asked again after a while,
        unless ``done_anyway`` tells that it was done, and then there is no answer (``None``).
        """
        client = self._client(kind, name)
        deadline = time.monotonic() + timeout_s
        self.wait_until(f"service {name}", client.service_is_ready, timeout_s)
        future = client.call_async(request)
        try:
            while True:
                patience_s = min(self._answer_patience_s, deadline - time.monotonic())
                try:
                    self.wait_until(f"the answer of {name}", future.done, patience_s)
                    return future.result()
                except NotInTime:
                    if time.monotonic() > deadline:
                        raise
                if done_anyway is not None and done_anyway():
                    return None
                client.remove_pending_request(future)
                future = client.call_async(request)
        finally:
            client.remove_pending_request(future)

    def _client(self, kind: Any, name: str) -> Client:
        """Kept from its first use on: who calls with a client made for that call is heard 0.1 s late now and
        then (5 of 30 stops, none of 30 with a kept one), when the service finds it only after its request.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        return self._clients[name]

    def _listen(self, topic: str, callback: Callable[[DiagnosticArray], None]) -> None:
        self.node.create_subscription(DiagnosticArray, topic, callback, qos.STATUS)

    def _on_frame(self, _cdr: bytes) -> None:
        self.frames_seen += 1

    def _on_motion(self, message: DiagnosticArray) -> None:
        self.motion = status_values(message, graph.MOTION_STATUS)
        self.motion_stamp_ns = stamp_to_ns(message.header.stamp)

    def _on_episode(self, message: DiagnosticArray) -> None:
        self.episode = status_values(message, graph.EPISODE_STATUS)

    def _on_timing_message(self, message: DiagnosticArray) -> None:
        self._on_timing(status_values(message, graph.TIMING_STATUS))


def _why_nothing_is_heard() -> str:
    """Part of a sentence; empty where nothing is known to be wrong."""
    if not port_is_lost():
        return ""
    return ": it hears nobody, since another process has deleted its port in shared memory; start it anew"


def _parameter_value(value: str | int | float | bool) -> ParameterValue:
    if isinstance(value, bool):
        return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    if isinstance(value, int):
        return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    if isinstance(value, float):
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
