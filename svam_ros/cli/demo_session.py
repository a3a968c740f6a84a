"""One run of the demo: three processes started, led through episodes, and ended in the right order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from svam_ros import graph
from svam_ros.bringup.process_table import SimulationOptions, simulation_processes
from svam_ros.bringup.ros_environment import ros_environment
from svam_ros.bringup.run_record import RunRecord
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.cli.demo_engine import ChosenEngine
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.cli.interrupts import interrupts_deferred, uninterrupted
from svam_ros.cli.report_folder import LOGS_NAME
from svam_ros.cli.run_figures import MotionCounters, RunFigures
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.control.guard_state import GuardState
from svam_ros.profiling.environment import read_versions
from svam_ros.profiling.run_report import EpisodeResult
from svam_ros.profiling.stage_table import LiveStatus

START_TIMEOUT_S = 60.0
CONFIGURE_TIMEOUT_S = 180.0
ENGAGE_TIMEOUT_S = 10.0
FIRST_CHUNK_S = 10.0
"""A policy that has made no chunk by then will not make one."""
AFTER_SUCCESS_S = 0.5
"""Time that a success is watched before the arms are stopped."""
NOTE_PERIOD_S = 0.5
"""How often it is written down which shared memory the starting processes have taken."""

Show = Callable[[LiveStatus], None]


class DemoFailed(RuntimeError):
    """The run could not go on; the text says what happened. The arms were stopped."""


class DemoSession:
    """A context manager: whatever happens inside, the guard brakes first and nothing is left running.

    Args:
        options: of the demo.
        engine: that was chosen for them.
        domain_id: ROS domain that was claimed for this run.
        show: draws the live line.
    """

    def __init__(self, options: DemoOptions, engine: ChosenEngine, domain_id: int, show: Show) -> None:
        self._options, self._engine = options, engine
        self._domain_id = domain_id
        self._show = show
        self._processes = simulation_processes(
            SimulationOptions(
                model=engine.model,
                engine=engine.name,
                profile=options.profile,
                limits=options.limits,
                image_transport=options.image_transport,
                command_rate_hz=options.command_rate_hz,
                namespace=options.namespace,
                task=options.task,
                seed=options.seed,
                driver_quirks=options.driver_quirks,
                mode=options.mode,
                older_weight=options.older_weight,
                black_box=str((options.report / LOGS_NAME).absolute()),
            )
        )
        self.profile = load_robot_profile(options.profile)
        self.cobot = load_cobot(options.limits)
        self.figures = RunFigures()
        self.files: list[Path] = []
        """The episodes that were recorded to their end."""
        self._started = time.monotonic()
        self._next_note_s = 0.0
        self._phase = "starting"
        self._effective_hz: float | None = None
        self._engage_asked = False
        self._engaged_ns = 0
        """ROS time of the guard's last answer to an engage."""
        self.exit_codes: dict[str, int] = {}

    def __enter__(self) -> DemoSession:
        with ExitStack() as undo:
            # What others have there may be in use where that cannot be seen from here: in a container.
            undo.callback(remove_abandoned_segments, keep=frozenset(segments()), left_the_graph=True)
            self._record = RunRecord()
            undo.callback(self._record.close)
            undo.callback(_restore_environment, dict(os.environ))
            os.environ.update(ros_environment(self._domain_id, isolated=True))
            self._join(undo)
            keep_open = (self._record.descriptor,)
            self._supervisor = Supervisor({**os.environ}, self._options.report / LOGS_NAME, keep_open)
            undo.callback(self._stop_processes)
            self._undo = undo.pop_all()
        return self

    def _join(self, undo: ExitStack) -> None:
        """Join the graph as its operator, listener and recorder."""
        # Imported only now: rclpy reads the environment.
        from svam_ros.nodes.command_log import CommandLog
        from svam_ros.nodes.episode_recorder import EpisodeRecorder
        from svam_ros.nodes.robot_operator import Operator

        self._operator = Operator(
            self.profile, self._options.namespace, on_timing=self.figures.add_timing, check=self._watch
        )
        undo.callback(self._operator.close)
        self._commands = CommandLog(self._operator.streams, self.profile, self.cobot)
        self._recorder = EpisodeRecorder(self._operator.node, self._operator.streams, self.profile)
        undo.callback(self._recorder.abandon)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():  # A second Ctrl-C shortens nothing: the arms come to rest first.
            self._undo.close()

    def _stop_processes(self) -> None:
        self._phase = "stopping"
        self._redraw()
        self.exit_codes = self._supervisor.stop([graph.GUARD_NODE])

    def how_it_stopped(self) -> str:
        """One sentence about the arms, once the processes have ended."""
        if not self._engage_asked:
            return "The arms were never commanded."
        if self.exit_codes.get(graph.GUARD_NODE) == 0:
            return "The guard brought the arms to rest before it ended."
        return "The guard was gone: the arms' drivers hold the last set-point."

    # -- steps of a run -------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Start the processes and wait until each is ready.

        Raises:
            DemoFailed: one of them ended, or was not ready in time.
        """
        for spec in self._processes:
            with interrupts_deferred():
                self._supervisor.start(spec)
        self._operator.wait_until(
            "the first camera frame", lambda: self._operator.frames_seen > 0, START_TIMEOUT_S
        )
        self._operator.stop_watching_frames()
        for spec in self._processes:
            if spec.managed:
                self._lead(spec.name, "configure", CONFIGURE_TIMEOUT_S)
                self._lead(spec.name, "activate", START_TIMEOUT_S)
        self._operator.wait_until(
            "the arms' joint states at the guard",
            lambda: "joint_state_age_ms" in self._operator.motion,
            START_TIMEOUT_S,
        )

    def run_episode(self, number: int, metadata: dict[str, str]) -> EpisodeResult:
        """One scene: reset, engage, watch until success or the time is over, stop.

        Raises:
            DemoFailed: a process ended, or a node refused.
        """
        seed = self._options.seed + number
        self._reset(seed)
        path = self._options.report / f"episode_{number:04d}.mcap"
        self._recorder.begin(path, {**metadata, "episode": str(number), "seed": str(seed)})
        before = MotionCounters.read(self._operator.motion)
        self._commands.clear()
        malformed_before = self._commands.malformed
        self._engage()
        self.figures.record(True)
        try:
            success, steps, stopped = self._watch_episode(before)
        finally:
            self.figures.record(False)
        fraction = self._operator.episode.get("fraction")
        self._stop_arms()
        result = EpisodeResult(
            self._options.task, seed, success, steps, None if fraction is None else float(fraction), stopped
        )
        counters = MotionCounters.read(self._operator.motion).since(before)
        dropped = self._recorder.end({"success": str(success).lower(), "steps": str(steps)})
        malformed = self._commands.malformed - malformed_before
        self.figures.add_episode(
            result, counters, self._commands.audit(), malformed=malformed, dropped=dropped
        )
        self.files.append(path)
        return result

    def metadata(self) -> dict[str, str]:
        """What is written into every episode file: what replay needs is there."""
        from svam_ros.recording.replay import parameter_key

        return {
            "task": self._options.task,
            "model": self._options.model,
            "engine": self._engine.name,
            "profile": self._options.profile,
            "instruction": self._operator.episode.get("instruction", ""),
            **{f"version {name}": version for name, version in read_versions().items()},
            **{
                parameter_key(spec.name, name): str(value)
                for spec in self._processes
                for name, value in spec.parameters.items()
            },
        }

    # -- details --------------------------------------------------------------------------------

    def _lead(self, node_name: str, transition: str, timeout_s: float) -> None:
        """Lead a managed node on; a refusal is told with the node's own reason."""
        from svam_ros.nodes.robot_operator import TransitionRefused

        try:
            self._operator.transition(node_name, transition, timeout_s)
        except TransitionRefused as refused:
            self._watch()
            last_words = self._supervisor.last_words(node_name, lines=1)
            raise DemoFailed(f"{refused}; it says: {last_words}") from refused

    def _reset(self, seed: int) -> None:
        self._phase = "resetting"
        simulation = graph.SIMULATION_NODE
        self._operator.set_parameters(simulation, {"task": self._options.task, "seed": seed})
        self._operator.trigger(simulation, graph.RESET_SERVICE)
        self._operator.wait_until(
            f"the scene with seed {seed}",
            lambda: self._operator.episode.get("seed") == str(seed) and not self._succeeded(),
            START_TIMEOUT_S,
        )
        self._operator.instruct(self._operator.episode["instruction"])

    def _engage(self) -> None:
        """Engage; a refusal because joint states were late for a moment is asked again."""
        from svam_ros.nodes.robot_operator import OperatorError

        self._phase = "engaging"
        self._engage_asked = True
        deadline = time.monotonic() + ENGAGE_TIMEOUT_S
        while True:
            try:
                self._operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
                self._engaged_ns = self._operator.now_ns()
                return
            except OperatorError:
                if time.monotonic() > deadline:
                    raise
            self._watch()
            time.sleep(0.2)

    def _watch_episode(self, before: MotionCounters) -> tuple[bool, int, str]:
        """Watch until success, or until the guard stops the arms, or until the time is over.

        Returns:
            Whether it succeeded; the control steps, fresh or stalled, from the first fresh one after the
            engage until then; and why the guard stopped, empty where it did not. The guard counts the steps;
            it tells ten times a second, so the number may be a few steps early.
        """
        self._phase = "moving"
        began = time.monotonic()
        chunks_before = self.figures.chunks()
        stopped = ""
        while time.monotonic() - began < self._options.seconds and not (self._succeeded() or stopped):
            self._watch()
            stopped = self._why_stopped()
            if time.monotonic() - began > FIRST_CHUNK_S and self.figures.chunks() == chunks_before:
                last_words = self._supervisor.last_words(graph.POLICY_NODE, lines=1)
                raise DemoFailed(
                    f"no chunk came within {FIRST_CHUNK_S:.0f} s; policy_node says: {last_words}"
                )
            counters = MotionCounters.read(self._operator.motion).since(before)
            if counters.active_s > 0:
                self._effective_hz = counters.steps_executed / counters.active_s
            self._redraw()
            time.sleep(0.1)
        success = self._succeeded()
        counters = MotionCounters.read(self._operator.motion).since(before)
        if success:
            time.sleep(AFTER_SUCCESS_S)
        return success, counters.steps_executed + counters.steps_stalled, "" if success else stopped

    def _stop_arms(self) -> None:
        self._phase = "holding"
        self._operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
        # Not only at rest but silent: a new scene puts the arms elsewhere, and a guard that still repeats
        # the resting pose would pull them back.
        self._operator.wait_until(
            "the guard's silence after the stop",
            lambda: self._operator.motion.get("commanding") == "false",
            5.0,
        )

    def _why_stopped(self) -> str:
        """Why the guard has stopped the arms since the engage; empty where it has not, as far as it told."""
        if self._operator.motion_stamp_ns <= self._engaged_ns:
            return ""
        motion = self._operator.motion
        return motion.get("reason", "") if motion.get("state") == GuardState.STOPPED.value else ""

    def _succeeded(self) -> bool:
        return self._operator.episode.get("success") == "true"

    def _watch(self) -> None:
        """Raise when a process has ended by itself."""
        self._redraw()
        failure = self._supervisor.failed_child()
        if failure is not None:
            raise DemoFailed(failure.sentence())
        if self._recorder.failure:
            raise DemoFailed(f"the recording ended: {self._recorder.failure}")
        if time.monotonic() >= self._next_note_s:
            self._next_note_s = time.monotonic() + NOTE_PERIOD_S
            self._record.note((os.getpid(), *self._supervisor.pids()))

    def _redraw(self) -> None:
        episodes = self.figures.episodes
        self._show(
            LiveStatus(
                phase=self._phase,
                elapsed_s=time.monotonic() - self._started,
                episode=min(len(episodes) + 1, self._options.episodes),
                episodes=self._options.episodes,
                effective_hz=self._effective_hz,
                stages_ms=self.figures.recent_stages_ms(),
                successes=sum(episode.success for episode in episodes),
                finished=len(episodes),
            )
        )


def _restore_environment(earlier: dict[str, str]) -> None:
    for name in os.environ.keys() - earlier.keys():
        del os.environ[name]
    os.environ.update(earlier)
