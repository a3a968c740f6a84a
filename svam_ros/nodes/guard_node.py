"""guard_node: the only process that commands the arms. No torch, no GPU, nothing that can stall it.

A thin adapter: messages in, :class:`svam_ros.control.guard.Guard` decides, set-points out. On SIGINT or
SIGTERM the arms brake first, then the process ends.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.control.black_box import BlackBox
from svam_ros.control.fault_news import FaultNews
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.guard import Guard, GuardSettings, GuardState, GuardStatus
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.arm_output import OUTPUTS, ArmOutput
from svam_ros.nodes.black_box_writer import BlackBoxWriter, black_box_folder
from svam_ros.nodes.message_conversion import status_message
from svam_ros.nodes.node_main import run_node
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.nodes.real_time import apply_real_time
from svam_ros.nodes.ros_clock import RosClock
from svam_ros.nodes.ros_parameters import declare_parameters, read_parameters
from svam_ros.parameters import GuardParameters, ParameterError, TunableGuardSettings, describe
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import FASTEST_COMMAND_RATE_HZ, SLOWEST_COMMAND_RATE_HZ

SHUTDOWN_PATIENCE_S = 1.0
"""Braking from full speed takes half of this; after it the process ends in any case."""

RESTING = (GuardState.IDLE, GuardState.STOPPED)
"""States in which chunks are not expected to be used, so that refusing one is no news."""

_LEVELS = {
    GuardState.IDLE: DiagnosticStatus.OK,
    GuardState.RAMPING: DiagnosticStatus.OK,
    GuardState.FOLLOWING: DiagnosticStatus.OK,
    GuardState.HOLDING: DiagnosticStatus.WARN,
    GuardState.STOPPED: DiagnosticStatus.ERROR,
}


class GuardNode(Node):
    """The node; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__(graph.GUARD_NODE)
        declare_parameters(self, GuardParameters, _all_parameters)
        parameters = read_parameters(self, GuardParameters)
        self._cobot = load_cobot(parameters.limits)
        self._profile = load_robot_profile(parameters.profile)
        self._output: ArmOutput = OUTPUTS[self._profile.output](self, self._profile, self._cobot)
        settings = _settings(parameters, self._profile.command_rate_hz, self._output)
        self._guard = Guard(self._cobot, settings)
        self._black_box = BlackBox(settings.tick_rate_hz)
        self._black_boxes = BlackBoxWriter(
            black_box_folder(parameters.black_box),
            self._cobot.joint_names,
            self._profile.name,
            self.get_logger().info,
        )
        self._ros_clock = RosClock(self)
        self._commanding = False
        self._rejected_messages = 0
        self._news = FaultNews()
        self._told_to_end = False
        self._ending_since: float | None = None
        self._open_interfaces(settings.tick_rate_hz)
        # Collecting a young heap takes microseconds; all that rclpy has loaded, milliseconds.
        gc.collect()
        gc.freeze()
        self._real_time = apply_real_time(parameters)
        if self._real_time:
            self.get_logger().info(f"real time: {self._real_time}")
        self.get_logger().info(
            f"profile {self._profile.name}, set-points at {settings.tick_rate_hz:g} Hz; not engaged"
        )

    def _open_interfaces(self, rate_hz: float) -> None:
        self._motion = self.create_publisher(DiagnosticArray, graph.MOTION_TOPIC, qos.STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, qos.STATUS)
        self._inputs = PolledSubscriptions(self)
        for arm in ARM_NAMES:
            topic = self._profile.arms[arm].state_topic
            self._inputs.subscribe(JointState, topic, partial(self._on_joint_state, arm), qos.NEWEST_SAMPLE)
            for commands in self._output.topics[arm]:
                kind = self._output.message_kind
                self._inputs.subscribe(kind, commands, partial(self._on_command, arm), qos.EVERY_STATE)
        self._inputs.subscribe(JointTrajectory, graph.CHUNK_TOPIC, self._on_chunk, qos.CHUNKS)
        self.create_service(Trigger, graph.ENGAGE_SERVICE, self._on_engage)
        self.create_service(Trigger, graph.HOLD_SERVICE, self._on_hold)
        self.create_service(Trigger, graph.STOP_SERVICE, self._on_stop)
        self.cycle_period_s = 1.0 / rate_hz
        self.create_timer(0.1, self._publish_motion)

    # -- process --------------------------------------------------------------------------------

    def request_shutdown(self) -> None:
        """SIGINT or SIGTERM: the next cycle brakes; the process ends when the arms are at rest.

        Called from a signal handler, between any two lines of a cycle: so it only leaves a note.
        """
        self._told_to_end = True

    def finished(self) -> int | None:
        """0 once the arms are at rest, 1 when they are not a second after the brake."""
        if self._ending_since is None:
            return None
        waited_s = time.monotonic() - self._ending_since
        at_rest = self._guard.status(time.monotonic_ns()).at_rest
        if at_rest:
            return 0
        return 1 if waited_s > SHUTDOWN_PATIENCE_S else None

    def release(self) -> None:
        """Close the inputs, and keep what the black box holds."""
        self._inputs.close()
        held = self._black_box.take()
        if held is not None:
            self._black_boxes.write(held)
        self._black_boxes.close()

    def cycle(self) -> None:
        """Take in what has arrived, then send the set-point that is due."""
        if self._told_to_end and self._ending_since is None:
            self._ending_since = time.monotonic()
            self._guard.stop("the guard was told to end")
            self._note("operator", "the process was told to end")
        try:
            self._inputs.poll()
        except Exception as error:  # a message that nobody foresaw must not take the guard away
            self._rejected_messages += 1
            self._brake_after("an input", error)
        try:
            self._watch_clock()
            self._tick()
        except Exception as error:  # nor anything else: the next ticks must brake
            self._brake_after("sending a set-point", error)

    def on_internal_error(self, error: Exception) -> None:
        """A service or timer failed: the guard stays, and brakes."""
        self._brake_after("a service or timer", error)

    def _brake_after(self, what: str, error: Exception) -> None:
        self._guard.stop(f"internal error on {what}: {error!r}")
        text = f"stopped, internal error on {what}: {error!r}"
        self.get_logger().error(text, throttle_duration_sec=1.0)

    # -- inputs ---------------------------------------------------------------------------------

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            chunk = read_chunk(message, self._cobot)
        except RejectedMessage as error:
            self._rejected_messages += 1
            self._guard.refuse(Finding(Fault.CHUNK_MALFORMED, str(error)))
            self._warn(f"chunk not used: {error}")
            return
        now_ns = time.monotonic_ns()
        finding = self._guard.submit(chunk, now_ns - self._now_ros_ns(), now_ns)
        named = f"chunk {chunk.run_id}/{chunk.sequence}"
        if finding is None:
            age_ms = (self._now_ros_ns() - chunk.observation_stamp_ns) / 1e6
            self._note("chunk", f"{named}, {len(chunk.actions)} steps, observed {age_ms:.0f} ms before")
        else:
            self._note("rejected", f"{named} not used: {_sentence(finding)}")
            if self._guard.status(now_ns).state not in RESTING:
                self._warn(f"{named} not used: {_sentence(finding)}")

    def _on_joint_state(self, arm: str, message: JointState) -> None:
        now_ns, now_ros_ns = time.monotonic_ns(), self._now_ros_ns()
        try:
            reading = read_joint_state(message, self._profile, arm, now_ros_ns)
        except RejectedMessage as error:
            self._rejected_messages += 1
            self._guard.refuse(Finding(Fault.JOINT_STATES_MALFORMED, str(error)))
            self._warn(f"joint state not used: {error}")
            return
        finding = self._guard.observe_arm(arm, reading, now_ns - now_ros_ns, now_ns)
        if finding is not None:
            self._warn(f"joint state not used: {_sentence(finding)}")

    def _on_command(self, arm: str, message: JointState | JointTrajectory) -> None:
        self._guard.observe_command(arm, stamp_to_ns(message.header.stamp), time.monotonic_ns())

    def _on_engage(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        findings = self._guard.engage(time.monotonic_ns())
        response.success = not findings
        response.message = "; ".join(_sentence(finding) for finding in findings) or "engaged"
        self.get_logger().info(f"engage: {response.message}")
        self._note("operator", f"engage asked for: {response.message}")
        return response

    def _on_hold(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._guard.hold()
        self._note("operator", "hold asked for")
        state = self._guard.status(time.monotonic_ns()).state
        response.success = state is GuardState.HOLDING
        response.message = (
            "holding until engaged again" if response.success else f"nothing to hold: {state.value}"
        )
        return response

    def _on_stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._guard.stop("an operator asked to stop")
        self._note("operator", "stop asked for")
        response.success, response.message = True, "stopped until engaged again"
        self.get_logger().info("stop: an operator asked")
        return response

    def _watch_clock(self) -> None:
        by_s = self._ros_clock.jump_s()
        if by_s is not None:
            self._guard.clock_jumped(by_s, time.monotonic_ns())
            self._note("clock", f"ROS time jumped by {by_s:+.3f} s")
            self.get_logger().warning(f"ROS time jumped by {by_s:+.3f} s")

    # -- outputs --------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        command = self._guard.tick(now_ns)
        self._commanding = command is not None
        if command is not None:
            self._send()
        status = self._guard.status(now_ns)
        if self._news.due(status.fault, status.faults, now_ns):
            found = self._news.say(status.fault, status.faults, now_ns)
            new = {"found": " ".join(fault.name for fault in found), "real_time": self._real_time}
            self._publish_status(self._diagnostics, graph.GUARD_NODE, status, new)
        excerpt = self._black_box.add(command, self._guard.measured, status, time.monotonic_ns())
        if excerpt is not None:
            self._black_boxes.write(excerpt)

    def _send(self) -> None:
        set_points, rest = self._guard.set_points, self._guard.way_to_rest
        stamp_ns = self._output.send(set_points, self._ros_clock.steady_to_ros_ns, rest)
        if stamp_ns is not None:
            self._guard.sent(stamp_ns)

    def _publish_motion(self) -> None:
        self._publish_status(self._motion, graph.MOTION_STATUS, self._guard.status(time.monotonic_ns()), {})

    def _publish_status(
        self, publisher: Any, name: str, status: GuardStatus, more: Mapping[str, object]
    ) -> None:
        values = {**_status_values(status), **more}
        values["commanding"] = str(self._commanding).lower()
        values["messages_rejected"] = self._rejected_messages
        message = status_message(name, status.reason, values, self._now_ros_ns(), _LEVELS[status.state])
        publisher.publish(message)

    def _note(self, kind: str, text: str) -> None:
        self._black_box.note(time.monotonic_ns(), kind, text)

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=1.0)

    def _now_ros_ns(self) -> int:
        return self._ros_clock.now_ns()


def _all_parameters() -> frozenset[str]:
    """The guard never changes while it runs."""
    return frozenset(description.name for description in describe(GuardParameters))


def _settings(parameters: GuardParameters, profile_rate_hz: float, output: ArmOutput) -> GuardSettings:
    rate_hz = parameters.command_rate_hz or profile_rate_hz
    if rate_hz < SLOWEST_COMMAND_RATE_HZ:
        raise ParameterError(
            f"parameter 'command_rate_hz' is {rate_hz:g}, allowed is 0 (the profile's rate) "
            f"or {SLOWEST_COMMAND_RATE_HZ:g} to {FASTEST_COMMAND_RATE_HZ:g}"
        )
    tuned = {d.name: getattr(parameters, d.name) for d in describe(TunableGuardSettings)}
    return GuardSettings(tick_rate_hz=rate_hz, **{**tuned, **output.guard_settings})


def _sentence(finding: Finding) -> str:
    return f"{finding.fault.text} ({finding.detail})" if finding.detail else finding.fault.text


def _status_values(status: GuardStatus) -> dict[str, object]:
    values: dict[str, object] = {
        "state": status.state.value,
        "reason": status.reason,
        "fault": status.fault.name if status.fault else "",
        "at_rest": str(status.at_rest).lower(),
        "chunks_accepted": status.chunks_accepted,
        "chunks_late": status.faults.get(Fault.CHUNK_LATE, 0),
        "steps_executed": status.steps_executed,
        "steps_stalled": status.steps_stalled,
        "active_s": f"{status.active_s:.3f}",
        "steps_clamped": status.steps_clamped,
        "late_ticks": status.late_ticks,
    }
    if status.joint_state_age_ms is not None:
        values["joint_state_age_ms"] = f"{status.joint_state_age_ms:.1f}"
    return values | {f"fault {fault.name}": count for fault, count in status.faults.items()}


def main() -> int:
    """Entry point of the executable ``guard_node``."""
    return run_node(GuardNode)


if __name__ == "__main__":
    raise SystemExit(main())
