"""Robot, guard, policy and referee as processes on a domain of their own, mended between trials."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from support.processes import spec

from faults.chunk_source import ChunkSource
from faults.companion import Companion
from faults.trial_record import TrialRecord
from svam_ros import graph
from svam_ros.bringup.exit_codes import HEARS_NOBODY
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.control.faults import Fault
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.parameters import SimulationParameters

SWING = "motion=sine amplitude=0.4 period_s=2.5"
"""Peak 1 rad/s: what goes wrong, goes wrong in motion."""
ANSWER_S = 30.0
"""For a transition of the policy: one started anew after kill -9 may never answer (docs/safety.md)."""
PARTS = ("camera", "left", "right")
SOUND = {"camera": {"camera": "sound"}} | {arm: {"states": "sound", "blocked": None} for arm in PARTS[1:]}


class FaultRig:
    """See the module's docstring.

    Args:
        folder: for logs and records.
        environment: of the ROS domain; set in this process too.
        supervisor: of the nodes; by default one that starts them beside the rest.
    """

    def __init__(
        self, folder: Path, environment: dict[str, str], supervisor: Supervisor | None = None
    ) -> None:
        self.cobot = load_cobot()
        self.folder, self.environment = folder, environment
        self.supervisor = supervisor or Supervisor(environment, folder / "logs")
        self._numbers = itertools.count()
        self._policy: dict[str, object] | None = None
        self.parts: dict[str, Companion] = {}
        self.referee = self.companion("referee_process")
        self.profile = load_robot_profile(SimulationParameters().profile)
        self.operator = Operator(self.profile)
        self.operator.stop_watching_frames()
        self.named: dict[str, set[str]] = {}
        self.operator.streams.subscribe(
            DiagnosticArray, graph.DIAGNOSTICS_TOPIC, self._on_diagnostics, qos.STATUS
        )
        self._running: set[str] = set()
        self._source: ChunkSource | None = None

    def close(self) -> None:
        """End everything."""
        if self._source is not None:
            self._source.close()
        self.supervisor.stop([graph.GUARD_NODE])
        for companion in (*self.parts.values(), self.referee):
            companion.close()
        self.operator.close()

    # -- before a trial ---------------------------------------------------------------------------

    def prepare(self, model: str = SWING, **policy: object) -> None:
        """A sound robot, an idle or stopped guard, and a policy with these parameters that makes chunks."""
        self.prepare_robot()
        wanted = {"model": model, "instruction": "swing", "mode": "aligned", **policy}
        if not self.is_alive(graph.POLICY_NODE) or wanted != self._policy:
            self.start_policy(wanted)

    def prepare_robot(self) -> None:
        """A sound robot and an idle or stopped guard; a policy that runs is left alone."""
        for part in PARTS:
            if part not in self.parts or self.parts[part].process.poll() is not None:
                self.parts[part] = self.companion("robot_process", part)
            self.parts[part].tell(**SOUND[part])
        if not self.is_alive(graph.GUARD_NODE):
            self.supervisor.start(spec(graph.GUARD_NODE))
            self._running.add(graph.GUARD_NODE)
        self.operator.motion = {}
        self.wait("the guard's joint states", lambda: "joint_state_age_ms" in self.operator.motion, 30.0)
        self.stop()

    def prepare_source(self) -> ChunkSource:
        """A sound robot, a guard, and in the policy's place a source of chunks that does as it is told."""
        if self.is_alive(graph.POLICY_NODE):
            self.kill(graph.POLICY_NODE)
        self.prepare_robot()
        if self._source is None:
            self._source = ChunkSource(self.operator.node, self.cobot)
        self._source.start()
        return self._source

    def start_policy(self, parameters: dict[str, object]) -> None:
        """A new policy process, active."""
        if self._source is not None:
            self._source.pause()
        if self.is_alive(graph.POLICY_NODE):
            self.kill(graph.POLICY_NODE)
        self.supervisor.start(spec(graph.POLICY_NODE, **parameters))
        self._running.add(graph.POLICY_NODE)
        self._policy = None
        for transition in ("configure", "activate"):
            self.operator.transition(graph.POLICY_NODE, transition, ANSWER_S)
        self._policy = parameters

    def replace_deaf_policy(self) -> None:
        """Where the policy says that it hears nobody: wait for its end, and start it anew."""
        if Fault.HEARS_NOBODY.name in self.named.get(graph.POLICY_NODE, ()):
            assert self.wait_exit(graph.POLICY_NODE) == HEARS_NOBODY
            assert self._policy is not None
            del self.named[graph.POLICY_NODE]
            self.start_policy(self._policy)

    def begin(self) -> None:
        """Forget what was recorded and named."""
        self.referee.order("begin")
        self.named = {}

    def follow(self) -> None:
        """Engage, and wait until the arms swing."""
        deadline = time.monotonic() + 20.0
        while True:
            try:
                self.operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
                break
            except OperatorError:
                assert time.monotonic() < deadline, "the guard refuses to engage"
                time.sleep(0.1)
        self.wait_state("following", 30.0)
        time.sleep(0.3)

    def replace_part(self, part: str) -> None:
        """A new process for a part of the robot; an arm stands at home."""
        self.parts[part] = self.companion("robot_process", part)

    def companion(self, module: str, *arguments: str) -> Companion:
        """A process of this package, on the rig's domain."""
        log = self.folder / f"companion_{next(self._numbers):04d}_{module}.log"
        return Companion(module, arguments, self.environment, log)

    # -- during a trial ---------------------------------------------------------------------------

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a node; gives the steady time at which it was sent."""
        at_ns = time.monotonic_ns()
        os.kill(self.supervisor.pid(name), number)
        if number is signal.SIGKILL:
            self.wait_exit(name)
        return at_ns

    def instruct_policy(self, text: str) -> int:
        """Set the instruction in force; gives the steady time from which it is."""
        self.operator.set_parameters(graph.POLICY_NODE, {"instruction": text})
        return time.monotonic_ns()

    def log_of(self, name: str) -> Path:
        """What a node writes."""
        return self.folder / "logs" / f"{name}.log"

    def wait_exit(self, name: str, timeout_s: float = 10.0) -> int:
        """Until a node's process has ended; gives its exit code."""
        self.wait(f"the end of {name}", lambda: self.supervisor.exit_code(name) is not None, timeout_s)
        self._running.discard(name)
        code = self.supervisor.exit_code(name)
        assert code is not None
        return code

    def stop(self) -> None:
        """The operator's stop; returns when the arms are at rest and the guard is silent."""
        self.operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
        silent = {"commanding": "false"}
        self.wait("the guard's silence", lambda: silent.items() <= self.operator.motion.items(), 5.0)

    def wait_state(self, state: str, timeout_s: float = 5.0) -> None:
        """Until the guard is in this state."""
        self.wait(f"state {state}", lambda: self.operator.motion.get("state") == state, timeout_s)

    def wait_named(self, fault: Fault, by: str, timeout_s: float = 5.0) -> None:
        """Until ``/diagnostics`` of a node has named the fault."""
        what = f"{fault.name} named by {by}"
        self.wait(what, lambda: fault.name in self.named.get(by, set()), timeout_s)

    def wait(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        """Until it is true; the failure says what the guard and the diagnostics said last."""
        try:
            self.operator.wait_until(what, condition, timeout_s)
        except OperatorError as error:
            raise AssertionError(f"{error}; motion {self.operator.motion}, named {self.named}") from error

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def record(self) -> TrialRecord:
        """What the referee has recorded since :meth:`begin`."""
        path = self.folder / f"trial_{next(self._numbers):04d}"
        self.referee.order(str(path))
        return TrialRecord.load(path)

    # -- the rest ---------------------------------------------------------------------------------

    def is_alive(self, name: str) -> bool:
        """Whether a node's process runs."""
        return name in self._running and self.supervisor.exit_code(name) is None

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            names = {values.get("fault", ""), *values.get("found", "").split()} - {""}
            self.named.setdefault(status.name, set()).update(names)
