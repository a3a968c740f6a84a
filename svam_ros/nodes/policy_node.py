"""policy_node: turns the newest camera frame and an instruction into chunks.

A managed node: *configure* loads and verifies the model and warms it up, *activate* starts making
chunks, *deactivate* stops, *cleanup* frees the engine. It may be slow, crash or run out of memory:
the guard brakes when chunks stop.

The instruction in force is the value of the parameter ``instruction``: the last one that was accepted,
whether it came with the start, by a parameter service or on the topic, and in whatever state the node
was. It is kept through every transition and ends with the process; only another one replaces it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.bringup.exit_codes import DEVICE_LOST, ENDED_IN_ORDER, FAILED, HEARS_NOBODY, NO_DEVICE_MEMORY
from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile, load_cobot, load_robot_profile
from svam_ros.control.camera_watch import CameraWatch
from svam_ros.control.chunk_schedule import ChunkSchedule, ScheduleSettings
from svam_ros.control.fault_news import FaultNews
from svam_ros.control.faults import Fault, Finding, Reaction
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import DeviceFailed, PolicyEngine
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.inference_loop import ChunkTiming, InferenceLoop, InferenceSettings, longest_pass_s
from svam_ros.nodes.message_conversion import chunk_message, status_message
from svam_ros.nodes.node_main import hearing_lost, run_node
from svam_ros.nodes.policy_camera import subscribe_camera
from svam_ros.nodes.policy_diagnostics import policy_faults, policy_summary, policy_values
from svam_ros.nodes.policy_instruction import INSTRUCTION_PARAMETER, check_parameter
from svam_ros.nodes.policy_model import policy_model
from svam_ros.nodes.policy_schedule import schedule_settings
from svam_ros.nodes.polled_subscriptions import POLL_PERIOD_S, PolledSubscriptions
from svam_ros.nodes.ros_clock import RosClock
from svam_ros.nodes.ros_parameters import declare_parameters, read_parameters
from svam_ros.nodes.sign_of_life import SignOfLife
from svam_ros.nodes.transitions import failing_aloud
from svam_ros.parameters import PolicyParameters, describe
from svam_ros.translation.instructions import check_instruction
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ActionChunk

EXIT_CODES = {
    Fault.DEVICE_MEMORY_EXHAUSTED: NO_DEVICE_MEMORY,
    Fault.DEVICE_FAILED: DEVICE_LOST,
    Fault.HEARS_NOBODY: HEARS_NOBODY,
}
LAST_WORDS_S = 0.2
"""What is published by a process that ends at once may never leave it."""
WATCH_PERIOD_S = 0.05
"""Between two looks at what may be wrong: a fault is named on /diagnostics at the next one."""
DIAGNOSED_CHUNKS = 250
"""Chunks that the percentiles in /diagnostics are taken over: about a minute."""


class PolicyNode(LifecycleNode):
    """The lifecycle node; see the module's docstring."""

    cycle_period_s = POLL_PERIOD_S

    def __init__(self) -> None:
        super().__init__(graph.POLICY_NODE)
        declare_parameters(self, PolicyParameters, self._fixed_parameters, check_parameter)
        read_parameters(self, PolicyParameters)
        self._exit_code: int | None = None
        self._deafness: Finding | None = None
        self._heard_at_s = 0.0
        self._engine: PolicyEngine | None = None
        self._schedule: ScheduleSettings | None = None
        self._loop: InferenceLoop | None = None
        self._cobot: Cobot = load_cobot()
        self._joint_names = self._cobot.joint_names
        self._profile: RobotProfile | None = None
        self._chunk_publisher = self.create_publisher(JointTrajectory, graph.CHUNK_TOPIC, qos.CHUNKS)
        self._timing_publisher = self.create_publisher(DiagnosticArray, graph.TIMING_TOPIC, qos.STATUS)
        self._diagnostics = self.create_publisher(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, qos.STATUS)
        self._sign_of_life = SignOfLife(self)
        self._inputs = PolledSubscriptions(self)
        # Of the node's whole life: a subscription made anew would be given the latched instruction again,
        # over a newer one that came as a parameter.
        self._instructions = PolledSubscriptions(self)
        self._instructions.subscribe(String, graph.INSTRUCTION_TOPIC, self._on_instruction, qos.LATCHED)
        self.add_post_set_parameters_callback(self._on_parameters)
        self._rejected_messages = 0
        self._faults: Counter[Fault] = Counter()
        self._news = FaultNews()
        self._recent_stages_ms: deque[dict[str, float]] = deque(maxlen=DIAGNOSED_CHUNKS)
        self._ros_clock = RosClock(self)
        self.create_timer(WATCH_PERIOD_S, self._watch_loop)

    # -- lifecycle ------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and verify the model, warm the engine up, subscribe. Takes seconds."""
        try:
            parameters = read_parameters(self, PolicyParameters)
            self._profile = load_robot_profile(parameters.profile)
            model, self._joint_names = policy_model(parameters, self._cobot, self.get_logger().warning)
            self._engine = create_engine(
                parameters.engine,
                model,
                seed=parameters.seed,
                noise=parameters.noise,
                threads=parameters.threads,
                device=parameters.device,
                dtype=parameters.dtype,
                device_memory=parameters.device_memory,
            )
            known = self._joint_names == self._cobot.joint_names
            robot = self._cobot if known else None
            self._schedule = schedule_settings(parameters, self._engine, self._profile.camera, robot)
            self._subscribe(parameters, self._profile)
            if parameters.instruction:
                check_instruction(parameters.instruction)
        except Exception as error:  # rclpy would swallow it, and nobody would know why
            self.get_logger().error(f"cannot configure: {error}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        engine = self._engine
        self.get_logger().info(
            f"configured: model {engine.model_name}, engine {engine.name}, mode {self._schedule.mode.value} "
            f"(a forward takes {engine.forward_s * 1e3:.0f} ms)"
        )
        return super().on_configure(state)

    @failing_aloud
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the inference thread under a new run id."""
        self._start_loop()
        return super().on_activate(state)

    def _start_loop(self) -> None:
        parameters = read_parameters(self, PolicyParameters)
        assert self._engine is not None
        assert self._schedule is not None
        settings = InferenceSettings(
            run_id=secrets.token_hex(4),
            max_image_age_ns=round(parameters.max_image_age_ms * 1e6),
            max_joint_age_ms=parameters.max_joint_age_ms,
            longest_pass_s=longest_pass_s(self._engine.forward_s),
        )
        self._loop = InferenceLoop(
            self._engine,
            settings,
            ChunkSchedule(self._schedule),
            CameraWatch(self._cobot),
            self._ros_clock.now_ns,
            self._publish_chunk,
            self._publish_timing,
            self._warn,
        )
        if parameters.instruction:
            self._loop.set_instruction(check_instruction(parameters.instruction))
        self._loop.start()
        self._sign_of_life.begin(settings.run_id)
        self.get_logger().info(f"active: run {settings.run_id}")

    @failing_aloud
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the pass that runs and make no more chunks."""
        self._stop_loop()
        return super().on_deactivate(state)

    @failing_aloud
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the engine: back to unconfigured."""
        self._free()
        return super().on_cleanup(state)

    @failing_aloud
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition has failed half way: free everything, back to unconfigured."""
        self._free()
        return super().on_error(state)

    # -- process --------------------------------------------------------------------------------

    def request_shutdown(self) -> None:
        """SIGINT or SIGTERM: nothing of ours moves the arms, so end at once."""
        self._exit_code = ENDED_IN_ORDER

    def on_hearing_lost(self) -> None:
        """Neither frames nor joint states arrive any more: the process ends by it."""
        self._deafness = hearing_lost()
        self._faults[self._deafness.fault] += 1

    def on_internal_error(self, error: Exception) -> None:
        """A service or timer failed: the process ends by it, and the guard brakes."""
        raise error

    def finished(self) -> int | None:
        """Exit code when the process may end."""
        return self._exit_code if time.monotonic() >= self._heard_at_s else None

    def release(self) -> None:
        """Stop the thread, free the engine."""
        self._free()
        self._instructions.close()

    def cycle(self) -> None:
        """Hand frames, joint states and instructions to the inference thread."""
        self._instructions.poll()
        self._inputs.poll()

    # -- inputs ---------------------------------------------------------------------------------

    def _subscribe(self, parameters: PolicyParameters, profile: RobotProfile) -> None:
        subscribe_camera(self._inputs, parameters, profile.camera, lambda: self._loop)
        for arm in ARM_NAMES:
            state_topic = profile.arms[arm].state_topic
            self._inputs.subscribe(
                JointState, state_topic, partial(self._on_joint_state, arm), qos.EVERY_STATE
            )

    def _on_joint_state(self, arm: str, message: JointState) -> None:
        if self._loop is None or self._profile is None:
            return
        try:
            arrived_ns = self._ros_clock.now_ns()
            self._loop.add_reading(arm, read_joint_state(message, self._profile, arm, arrived_ns))
        except RejectedMessage as error:
            self._refuse(Finding(Fault.JOINT_STATES_MALFORMED, str(error)))

    def _on_instruction(self, message: String) -> None:
        (result,) = self.set_parameters([Parameter(INSTRUCTION_PARAMETER, value=message.data.strip())])
        if not result.successful:
            self._refuse(Finding(Fault.INSTRUCTION_UNUSABLE, result.reason))

    def _on_parameters(self, changes: list[Parameter]) -> None:
        """Parameters have been set: act on a new instruction."""
        for change in changes:
            if change.name == INSTRUCTION_PARAMETER and self._loop is not None:
                self._loop.set_instruction(check_instruction(change.value))

    # -- outputs --------------------------------------------------------------------------------

    def _publish_chunk(self, chunk: ActionChunk) -> None:
        self._chunk_publisher.publish(chunk_message(chunk, self._joint_names))

    def _publish_timing(self, timing: ChunkTiming) -> None:
        values: dict[str, object] = {stage: f"{ms:.3f}" for stage, ms in timing.stages_ms.items()}
        values["observation_age_ms"] = f"{timing.observation_age_ms:.3f}"
        values["run_id"], values["sequence"] = timing.run_id, timing.sequence
        values["input_digest"] = timing.input_digest
        self._recent_stages_ms.append(timing.stages_ms)
        self._timing_publisher.publish(
            status_message(graph.TIMING_STATUS, "", values, self._ros_clock.now_ns(), DiagnosticStatus.OK)
        )

    def _publish_diagnostics(self, finding: Finding | None, found: Iterable[Fault]) -> None:
        level, text = policy_summary(self._loop, finding)
        values = policy_values(self._engine, self._schedule, self._recent_stages_ms)
        values |= policy_faults(finding, found, self._all_faults())
        values |= {} if self._loop is None else {**self._loop.counters, "run_id": self._loop.run_id}
        values["messages_rejected"] = self._rejected_messages
        values["instruction"] = self.get_parameter(INSTRUCTION_PARAMETER).value
        stamp_ns = self._ros_clock.now_ns()
        self._diagnostics.publish(status_message(graph.POLICY_NODE, text, values, stamp_ns, level))

    # -- the rest -------------------------------------------------------------------------------

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=1.0)

    def _fixed_parameters(self) -> frozenset[str]:
        if self._engine is None:
            return frozenset()
        return frozenset(d.name for d in describe(PolicyParameters)) - {INSTRUCTION_PARAMETER}

    def _watch_clock(self) -> None:
        """After a jump of ROS time a new run begins: the old one's stamps say nothing any more."""
        if (by_s := self._ros_clock.jump_s()) is None or self._loop is None:
            return
        self._faults[Fault.CLOCK_JUMPED] += 1
        self._warn(f"{Finding(Fault.CLOCK_JUMPED, f'by {by_s:+.3f} s')}; a new run begins")
        self._stop_loop()
        if self._engine is not None:
            self._start_loop()

    def _watch_loop(self) -> None:
        self._watch_clock()
        finding, counts, now_ns = self._finding(), self._all_faults(), time.monotonic_ns()
        fault = finding.fault if finding else None
        if self._news.due(fault, counts, now_ns):
            self._publish_diagnostics(finding, self._news.say(fault, counts, now_ns))
        if finding is not None and finding.fault.reaction is Reaction.EXIT and self._exit_code is None:
            self.get_logger().fatal(str(finding))
            self._heard_at_s = time.monotonic() + LAST_WORDS_S
            self._exit_code = EXIT_CODES.get(finding.fault, FAILED)

    def _finding(self) -> Finding | None:
        return self._deafness or (None if self._loop is None else self._loop.fault())

    def _all_faults(self) -> Counter[Fault]:
        """Of the node's whole life."""
        return self._faults + self._loop.faults if self._loop is not None else self._faults

    def _refuse(self, finding: Finding) -> None:
        self._rejected_messages += 1
        self._faults[finding.fault] += 1
        self._warn(f"not used: {finding}")

    def _stop_loop(self) -> None:
        """Waits no longer for a pass than one may take: what hangs goes on until the process ends."""
        self._sign_of_life.end()
        if self._loop is not None and not self._loop.stop():
            self._exit_code = FAILED
            self._engine = None  # Its thread still uses it: nothing of it may be freed.
        elif self._loop is not None and isinstance(self._loop.failure, DeviceFailed):
            self._engine = None  # A lost device fails again when it is asked to free something.
        self._faults = self._all_faults()
        self._loop = None

    def _free(self) -> None:
        self._stop_loop()
        self._inputs.close()
        if self._engine is not None:
            self._engine.close()
        self._engine = self._schedule = None


def main() -> int:
    """Entry point of the executable ``policy_node``."""
    # One BLAS and OpenMP thread unless asked for more: the guard and the camera need the other core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return run_node(PolicyNode)


if __name__ == "__main__":
    raise SystemExit(main())
