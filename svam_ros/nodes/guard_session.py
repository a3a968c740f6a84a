"""What the guard is made of from *configure* to *cleanup*: messages in, decisions and set-points out.

Everything that is opened here is closed by :meth:`GuardSession.close`, also when opening the rest fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.control.black_box import BlackBox
from svam_ros.control.fault_news import FaultNews
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.guard import Guard, GuardSettings, GuardState, GuardStatus
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.arm_output import ArmOutput
from svam_ros.nodes.black_box_writer import BlackBoxWriter, black_box_folder
from svam_ros.nodes.message_conversion import status_message
from svam_ros.nodes.outputs import OUTPUTS
from svam_ros.nodes.passing_publishers import create_publisher, destroy_publishers
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.nodes.ros_clock import RosClock
from svam_ros.nodes.sign_of_life import watch_policy
from svam_ros.parameters import GuardParameters, ParameterError, TunableGuardSettings, describe
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import FASTEST_COMMAND_RATE_HZ, SLOWEST_COMMAND_RATE_HZ, ArmReading

MOTION_PERIOD_S = 0.1
"""Between two messages on ``graph.MOTION_TOPIC``."""

NOT_OURS = -1
"""Stamp of a set-point that has none: no set-point of ours has this one."""

RESTING = (GuardState.IDLE, GuardState.STOPPED)
"""States in which chunks are not expected to be used, so that refusing one is no news."""

_LEVELS = {
    GuardState.IDLE: DiagnosticStatus.OK,
    GuardState.RAMPING: DiagnosticStatus.OK,
    GuardState.FOLLOWING: DiagnosticStatus.OK,
    GuardState.HOLDING: DiagnosticStatus.WARN,
    GuardState.STOPPED: DiagnosticStatus.ERROR,
}


class GuardSession:
    """The guard and its messages, with one set of parameters.

    Args:
        node: that the publishers and subscriptions are made on.
        parameters: its own.
        diagnostics: publisher of ``graph.DIAGNOSTICS_TOPIC``.
        real_time: what Linux granted, for the diagnostics.

    Raises:
        ValueError: a parameter does not fit the profile, or a file is not as it has to be.
        OSError: the way to the arms cannot be opened.
    """

    def __init__(self, node: Node, parameters: GuardParameters, diagnostics: Any, real_time: str) -> None:
        self._node, self._diagnostics, self._real_time = node, diagnostics, real_time
        self._cobot = load_cobot(parameters.limits)
        self._profile = load_robot_profile(parameters.profile)
        with ExitStack() as undo:
            self._output: ArmOutput = OUTPUTS[self._profile.output](node, self._profile, self._cobot)
            undo.callback(self._output.close)
            self.settings = _settings(parameters, self._profile.command_rate_hz, self._output)
            self._guard = Guard(self._cobot, self.settings)
            self._open_black_box(parameters, undo)
            self._open_interfaces(undo)
            self._undo = undo.pop_all()
        self._ros_clock = RosClock(node)
        self.is_active = False
        """Whether the node is; who leads it says so."""
        self._rejected_messages = 0
        self._news = FaultNews()
        self._next_motion_s = time.monotonic()

    def _open_black_box(self, parameters: GuardParameters, undo: ExitStack) -> None:
        self._black_box = BlackBox(self.settings.tick_rate_hz)
        self._black_boxes = BlackBoxWriter(
            black_box_folder(parameters.black_box),
            self._cobot.joint_names,
            self._profile.name,
            self._node.get_logger().info,
        )
        undo.callback(self._black_boxes.close)
        undo.callback(self._keep_what_the_black_box_holds)

    def _open_interfaces(self, undo: ExitStack) -> None:
        self._motion = create_publisher(self._node, DiagnosticArray, graph.MOTION_TOPIC, qos.STATUS)
        undo.callback(destroy_publishers, self._node, [self._motion])
        self._inputs = PolledSubscriptions(self._node)
        undo.callback(self._inputs.close)
        for arm in ARM_NAMES:
            topic, receive = self._profile.arms[arm].state_topic, partial(self._on_joint_state, arm)
            if not self._output.measures:
                self._inputs.subscribe(JointState, topic, receive, qos.NEWEST_SAMPLE)
            for commands in self._output.topics[arm]:
                kind = self._output.message_kind
                self._inputs.subscribe(kind, commands, partial(self._on_command, arm), qos.EVERY_STATE)
        self._inputs.subscribe(JointTrajectory, graph.CHUNK_TOPIC, self._on_chunk, qos.CHUNKS)
        watch_policy(self._inputs, self._guard.policy)

    def close(self) -> None:
        """Close what was opened, the inputs first; what the black box holds is written."""
        self._undo.close()

    @property
    def summary(self) -> str:
        """What is configured, for a person."""
        return f"profile {self._profile.name}, set-points at {self.settings.tick_rate_hz:g} Hz"

    # -- what its node asks ---------------------------------------------------------------------

    def cycle(self) -> None:
        """Take in what has arrived, send the set-point that is due, tell how it is."""
        self._attempt("an input", self._take_in)
        self._attempt("reading the clock", self._watch_clock)
        self._attempt("sending a set-point", self._tick)
        self._attempt("telling its state", self._tell)

    @property
    def at_rest(self) -> bool:
        """The arms are told to stand still, or nothing."""
        return self._guard.status(time.monotonic_ns()).at_rest

    @property
    def is_silent(self) -> bool:
        """Nothing is sent to the arms before the next engage."""
        return not self._guard.status(time.monotonic_ns()).commanding

    def engage(self) -> list[str]:
        """Let chunks move the arms; gives the reasons why not, none when engaged.

        The first command is the measured pose: the newest that has arrived, not that of the last cycle.
        """
        if not self._attempt("an input", self._take_in):
            return ["an input could not be read; the log says which"]
        findings = self._guard.engage(time.monotonic_ns())
        refusals = [_sentence(finding) for finding in findings]
        if not refusals:
            self._output.begin()
        self.note("operator", f"engage asked for: {'; '.join(refusals) or 'engaged'}")
        return refusals

    def hold(self) -> GuardState:
        """Brake and hold until the next engage, where the guard is engaged; gives the state it is in then."""
        self._guard.hold()
        self.note("operator", "hold asked for")
        return self._guard.status(time.monotonic_ns()).state

    def stop(self, reason: str, note: str, fault: Fault | None = None) -> None:
        """Brake and stay until the next engage; ``note`` goes into the black box."""
        self._guard.stop(reason, fault)
        self.note("operator", note)

    def brake_after(self, what: str, error: Exception) -> None:
        """``what`` has failed with ``error``: the guard stays, and brakes."""
        self._guard.stop(f"internal error on {what}: {error!r}")
        text = f"stopped, internal error on {what}: {error!r}"
        self._node.get_logger().error(text, throttle_duration_sec=1.0)

    def note(self, kind: str, text: str) -> None:
        """Leave a line in the black box."""
        self._black_box.note(time.monotonic_ns(), kind, text)

    def _attempt(self, what: str, work: Callable[[], None]) -> bool:
        """Whether it could be done."""
        try:
            work()
        except Exception as error:  # what nobody foresaw must not take the guard away: the next ticks brake
            self.brake_after(what, error)
            return False
        return True

    # -- inputs ---------------------------------------------------------------------------------

    def _take_in(self) -> None:
        try:
            self._inputs.poll()
            self._poll_output()
        except Exception:
            self._rejected_messages += 1
            raise

    def _watch_clock(self) -> None:
        by_s = self._ros_clock.jump_s()
        if by_s is not None:
            self._guard.clock_jumped(by_s, time.monotonic_ns())
            self.note("clock", f"ROS time jumped by {by_s:+.3f} s")
            self._warn(f"ROS time jumped by {by_s:+.3f} s")

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            chunk = read_chunk(message, self._cobot)
        except RejectedMessage as error:
            self._rejected_messages += 1
            self._guard.refuse(Finding(Fault.CHUNK_MALFORMED, str(error)))
            self._warn(f"chunk not used: {error}")
            return
        now_ns = time.monotonic_ns()
        finding = self._guard.submit(chunk, now_ns - self._ros_clock.now_ns(), now_ns)
        named = f"chunk {chunk.run_id}/{chunk.sequence}"
        if finding is None:
            age_ms = (self._ros_clock.now_ns() - chunk.observation_stamp_ns) / 1e6
            self.note("chunk", f"{named}, {len(chunk.actions)} steps, observed {age_ms:.0f} ms before")
        else:
            self.note("rejected", f"{named} not used: {_sentence(finding)}")
            if self._guard.status(now_ns).state not in RESTING:
                self._warn(f"{named} not used: {_sentence(finding)}")

    def _on_joint_state(self, arm: str, message: JointState) -> None:
        now_ns, now_ros_ns = time.monotonic_ns(), self._ros_clock.now_ns()
        try:
            reading = read_joint_state(message, self._profile, arm, now_ros_ns)
        except RejectedMessage as error:
            self._rejected_messages += 1
            self._guard.refuse(Finding(Fault.JOINT_STATES_MALFORMED, str(error)))
            self._warn(f"joint state not used: {error}")
            return
        self._observe_arm(arm, reading, now_ns - now_ros_ns, now_ns)

    def _observe_arm(self, arm: str, reading: ArmReading, to_steady_ns: int, now_ns: int) -> None:
        finding = self._guard.observe_arm(arm, reading, to_steady_ns, now_ns)
        if finding is not None:
            self._warn(f"joint state not used: {_sentence(finding)}")

    def _poll_output(self) -> None:
        """Take in what the output heard from the arms, where it does."""
        now_ns = time.monotonic_ns()
        for arm, news in self._output.poll(now_ns, self._ros_clock.steady_to_ros_ns).items():
            if news.reading is not None:
                self._observe_arm(arm, news.reading, 0, now_ns)
            self._guard.conditions.observe(arm, news.condition)
            if news.is_commanded_by_others:
                self._guard.observe_command(arm, NOT_OURS, now_ns)

    def _on_command(self, arm: str, message: JointState | JointTrajectory) -> None:
        self._guard.observe_command(arm, stamp_to_ns(message.header.stamp), time.monotonic_ns())

    # -- outputs --------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        command = self._guard.tick(now_ns)
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

    def _tell(self) -> None:
        """In the cycle, not in a timer: while a transition brakes, no timer runs."""
        now_s = time.monotonic()
        if now_s >= self._next_motion_s:
            self._next_motion_s = max(self._next_motion_s + MOTION_PERIOD_S, now_s)
            status = self._guard.status(time.monotonic_ns())
            self._publish_status(self._motion, graph.MOTION_STATUS, status, {})

    def _publish_status(
        self, publisher: Any, name: str, status: GuardStatus, more: Mapping[str, object]
    ) -> None:
        values = {**_status_values(status), **more}
        values["lifecycle"] = "active" if self.is_active else "inactive"
        values["messages_rejected"] = self._rejected_messages
        text = status.reason if status.reason or self.is_active else "inactive"
        level = _LEVELS[status.state]
        if status.fault and level == DiagnosticStatus.OK:
            level = DiagnosticStatus.WARN
        publisher.publish(status_message(name, text, values, self._ros_clock.now_ns(), level))

    def _keep_what_the_black_box_holds(self) -> None:
        held = self._black_box.take()
        if held is not None:
            self._black_boxes.write(held)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=1.0)


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
        "commanding": str(status.commanding).lower(),
        "chunks_accepted": status.chunks_accepted,
        "chunks_late": status.faults.get(Fault.CHUNK_LATE, 0),
        "steps_executed": status.steps_executed,
        "steps_stalled": status.steps_stalled,
        "active_s": f"{status.active_s:.3f}",
        "steps_clamped": status.steps_clamped,
        "late_ticks": status.late_ticks,
        "ticks_followed": status.ticks_followed,
        "ticks_limited": status.ticks_limited,
    }
    if status.joint_state_age_ms is not None:
        values["joint_state_age_ms"] = f"{status.joint_state_age_ms:.1f}"
    return values | {f"fault {fault.name}": count for fault, count in status.faults.items()}
