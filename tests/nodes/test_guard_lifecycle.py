"""guard_node led through its transitions as a real process: nothing moves unasked, braking comes first."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from support.fake_cobot import FakeCobot, stream, wait_for
from support.lost_port import delete_port
from support.motion_checks import assert_came_to_rest, assert_within_limits, speeds
from support.processes import spec

from svam_ros import graph
from svam_ros.bringup.exit_codes import HEARS_NOBODY
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.cobot import load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.command_log import CommandLog
from svam_ros.nodes.robot_operator import Operator, OperatorError, TransitionRefused
from svam_ros.shipped_files import shipped_directory

PROFILE = load_robot_profile("cobot_magic")
GUARD = graph.GUARD_NODE
BELATED_S = 0.2
"""What was sent before is heard by then."""


class Bench:
    """A fake robot, an operator, a log of what was sent and of the guard's diagnostics."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.robot = FakeCobot(PROFILE, camera=False)
        self.operator = Operator(PROFILE)
        self.log = CommandLog(self.operator.streams, PROFILE, self.robot.cobot)
        self.supervisor = supervisor
        self.diagnosed: list[str] = []
        self.operator.streams.subscribe(
            DiagnosticArray, graph.DIAGNOSTICS_TOPIC, self._on_diagnostics, qos.STATUS
        )

    def close(self) -> None:
        self.operator.close()
        self.robot.close()

    def start(self, module: str | None = None, **parameters: object) -> None:
        """A guard that waits to be led."""
        process = spec(GUARD, **{"autostart": False, **parameters})
        self.supervisor.start(process if module is None else replace(process, module=module))

    def lead(self, *transitions: str) -> None:
        for transition in transitions:
            self.operator.transition(GUARD, transition, 20.0)

    def state(self) -> str:
        return self.operator.lifecycle_state(GUARD, 20.0)

    def ask(self, service: str) -> str:
        return self.operator.trigger(GUARD, service, 20.0)

    def engage(self) -> None:
        """As soon as the guard knows where the arms are."""
        self.operator.motion = {}
        self.operator.wait_until("joint states", lambda: "joint_state_age_ms" in self.operator.motion, 20.0)
        self.ask(graph.ENGAGE_SERVICE)

    def follow(self, run_id: str) -> None:
        """Engage, and stream chunks until the arms are on their path."""
        self.engage()
        for attempt in range(4):  # the ramp takes as long as the machine lets it
            stream(self.robot, 1.2, run_id=f"{run_id}{attempt}")
            if self.operator.motion["state"] == "following":
                return
        raise AssertionError(self.operator.motion)

    def assert_silent(self, seconds: float = 0.5) -> None:
        """Not a set-point more, whatever chunks say."""
        time.sleep(BELATED_S)
        count = self.log.count()
        stream(self.robot, seconds, run_id="unheard")
        assert self.log.count() == count

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnosed += [status.message for status in message.status if status.name == GUARD]


@pytest.fixture
def bench(supervisor):
    made = Bench(supervisor)
    yield made
    made.close()


def test_a_guard_that_is_led_commands_when_it_is_active_and_engaged_and_never_else(bench):
    bench.start()
    assert bench.state() == "unconfigured"
    with pytest.raises(OperatorError, match="guard is unconfigured: configure and activate it first"):
        bench.ask(graph.ENGAGE_SERVICE)
    assert bench.ask(graph.STOP_SERVICE) == "nothing is commanded: the guard is unconfigured"
    wait_for(lambda: "unconfigured" in bench.diagnosed, 5.0, "the diagnostics of an unconfigured guard")
    bench.lead("configure")
    bench.operator.wait_until("joint states", lambda: "joint_state_age_ms" in bench.operator.motion, 20.0)
    assert bench.operator.motion["lifecycle"] == "inactive"
    with pytest.raises(OperatorError, match="guard is inactive: activate it first"):
        bench.ask(graph.ENGAGE_SERVICE)
    with pytest.raises(OperatorError, match="nothing to hold: idle"):
        bench.ask(graph.HOLD_SERVICE)
    bench.assert_silent()
    bench.lead("activate")
    bench.assert_silent()
    assert bench.operator.motion["lifecycle"] == "active"
    assert bench.operator.motion["state"] == "idle"
    assert bench.log.count() == 0
    bench.follow("led")
    bench.lead("deactivate", "cleanup")
    assert bench.state() == "unconfigured"
    bench.assert_silent()
    bench.lead("configure", "activate")
    bench.follow("led_again")
    assert_within_limits(bench.log)


def test_deactivate_answers_when_the_arms_have_braked_and_not_a_set_point_follows(bench):
    bench.start()
    bench.lead("configure", "activate")
    for run_id in ("first", "second"):
        bench.follow(run_id)
        speed = speeds(bench.log, "left")[-1]
        bench.lead("deactivate")
        answered_ns = bench.robot.now_ns()
        time.sleep(BELATED_S)
        assert_came_to_rest(bench.log)
        assert bench.log.readings("left")[-1].stamp_ns < answered_ns
        assert speed > 0.05, "it was to brake from a motion"
        assert bench.operator.motion["state"] == "stopped"
        assert bench.operator.motion["reason"] == "the guard was deactivated"
        assert bench.operator.motion["lifecycle"] == "inactive"
        bench.assert_silent()
        bench.lead("activate")
        bench.assert_silent()
    assert_within_limits(bench.log)


def test_the_state_is_told_while_deactivate_brakes(bench):
    told: list[dict[str, str]] = []
    bench.start()
    bench.lead("configure", "activate")
    bench.follow("run")
    bench.operator.streams.subscribe(
        DiagnosticArray,
        graph.MOTION_TOPIC,
        lambda message: told.append({pair.key: pair.value for pair in message.status[0].values}),
        qos.STATUS,
    )
    bench.lead("deactivate")
    braking = [values for values in told if values["reason"] == "the guard was deactivated"]
    assert any(values["commanding"] == "true" for values in braking)


def test_requests_in_the_middle_of_a_braking_are_answered_after_it_and_start_nothing(bench):
    bench.start()
    bench.lead("configure", "activate")
    bench.follow("run")
    other = Operator(PROFILE)
    refused: list[str] = []

    def engage() -> None:
        try:
            other.trigger(GUARD, graph.ENGAGE_SERVICE, 20.0)
        except OperatorError as error:
            refused.append(str(error))

    def braking() -> bool:
        return bench.operator.motion["reason"] == "the guard was deactivated"

    try:
        threads = [threading.Thread(target=work) for work in (partial(bench.lead, "deactivate"), engage)]
        threads[0].start()
        wait_for(braking, 10.0, "the middle of it: the resting pose alone is repeated for 0.5 s")
        threads[1].start()
        other.transition(GUARD, "deactivate", 20.0)
        for thread in threads:
            thread.join(30.0)
        assert len(refused) == 1
        other.transition(GUARD, "activate", 20.0)
        bench.assert_silent()
        assert bench.operator.motion["state"] == "stopped"
        assert bench.state() == "active"
        bench.follow("anew")
        assert_within_limits(bench.log)
    finally:
        other.close()


IMPATIENT = """
import svam_ros.nodes.guard_node as guard_node

guard_node.SHUTDOWN_PATIENCE_S = -0.4
raise SystemExit(guard_node.main())
"""


def own_guard(tmp_path, ros_domain, source: str) -> Supervisor:
    """Starts guards whose module is ``own_guard``."""
    (tmp_path / "own_guard.py").write_text(source)
    path = os.pathsep.join(filter(None, (str(tmp_path), ros_domain.get("PYTHONPATH", ""))))
    return Supervisor({**ros_domain, "PYTHONPATH": path}, tmp_path / "logs")


def test_arms_that_do_not_rest_in_time_keep_the_guard_active_and_braking(ros_domain, tmp_path):
    bench = Bench(own_guard(tmp_path, ros_domain, IMPATIENT))
    try:
        bench.start("own_guard")
        bench.lead("configure", "activate")
        bench.follow("run")
        with pytest.raises(TransitionRefused, match="could not deactivate"):
            bench.lead("deactivate")
        assert bench.state() == "active"
        assert "ask again" in bench.supervisor.last_words(GUARD, lines=1)
        bench.operator.wait_until("silence", lambda: bench.operator.motion.get("commanding") == "false", 10.0)
        assert_came_to_rest(bench.log)
        bench.lead("deactivate")
        assert bench.state() == "inactive"
        assert_within_limits(bench.log)
    finally:
        bench.supervisor.stop([GUARD])
        bench.close()


CLEANUP_FAILS_ONCE = """
import svam_ros.nodes.arm_output as arm_output
import svam_ros.nodes.guard_node as guard_node

close, calls = arm_output.JointStateOutput.close, 0

def failing(output):
    global calls
    calls += 1
    close(output)
    if calls == 1:
        raise RuntimeError("injected")

arm_output.JointStateOutput.close = failing
raise SystemExit(guard_node.main())
"""


def test_a_cleanup_that_fails_is_said_and_the_guard_can_be_configured_again(ros_domain, tmp_path):
    bench = Bench(own_guard(tmp_path, ros_domain, CLEANUP_FAILS_ONCE))
    try:
        bench.start("own_guard")
        bench.lead("configure")
        bench.operator.transition(GUARD, "cleanup", 20.0)  # rclpy's way from an error is unconfigured
        assert bench.state() == "unconfigured"
        assert "on_cleanup failed: RuntimeError('injected')" in bench.supervisor.last_words(GUARD)
        bench.lead("configure", "activate")
        bench.follow("run")
    finally:
        bench.supervisor.stop([GUARD])
        bench.close()


def test_shutdown_brakes_first_and_is_the_end(bench):
    bench.start()
    bench.lead("configure", "activate")
    bench.follow("run")
    bench.lead("shutdown")
    time.sleep(BELATED_S)
    assert_came_to_rest(bench.log)
    bench.assert_silent()
    assert_within_limits(bench.log)
    with pytest.raises(OperatorError, match="guard is finalized: start its process anew"):
        bench.ask(graph.ENGAGE_SERVICE)
    assert bench.supervisor.stop([GUARD]) == {GUARD: 0}


@pytest.mark.parametrize("led", [(), ("configure",), ("configure", "activate")], ids=len)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_guard_that_commands_nothing_with_zero(bench, led, number):
    bench.start()
    bench.state()
    bench.lead(*led)
    os.kill(bench.supervisor.pid(GUARD), number)
    wait_for(lambda: bench.supervisor.exit_code(GUARD) is not None, 10.0, "the end")
    assert bench.supervisor.exit_code(GUARD) == 0
    assert bench.log.count() == 0


def test_a_guard_that_hears_nobody_any_more_says_so_brakes_and_ends(bench):
    bench.start()
    bench.lead("configure", "activate")
    bench.follow("run")
    chunks = threading.Thread(target=stream, args=(bench.robot, 1.5), kwargs={"run_id": "unheard"})
    chunks.start()
    time.sleep(0.3)
    delete_port(bench.supervisor.pid(GUARD))
    chunks.join()
    wait_for(lambda: bench.supervisor.exit_code(GUARD) is not None, 10.0, "the end")
    assert bench.supervisor.exit_code(GUARD) == HEARS_NOBODY
    assert any("the node hears nobody any more" in text for text in bench.diagnosed)
    assert_came_to_rest(bench.log)
    assert_within_limits(bench.log)


def test_a_signal_in_the_middle_of_deactivate_cuts_no_braking_short(bench):
    bench.start()
    bench.lead("configure", "activate")
    bench.follow("run")
    thread = threading.Thread(target=lambda: bench.supervisor.stop([GUARD]))
    asked = threading.Thread(target=ask_without_waiting, args=(bench.operator,))
    asked.start()
    time.sleep(0.1)
    thread.start()
    for either in (thread, asked):
        either.join(20.0)
    assert bench.supervisor.exit_code(GUARD) == 0
    time.sleep(BELATED_S)
    assert_came_to_rest(bench.log)
    assert_within_limits(bench.log)


def ask_without_waiting(operator: Operator) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    client = operator.node.create_client(ChangeState, f"{GUARD}/change_state")
    wait_for(client.service_is_ready, 10.0, "the service")
    client.call_async(ChangeState.Request(transition=Transition(label="deactivate")))


def test_what_cannot_be_configured_is_said_and_can_be_put_right(bench, tmp_path):
    own = tmp_path / "own.yaml"
    bench.start(profile=str(own))
    with pytest.raises(TransitionRefused, match="could not configure"):
        bench.lead("configure")
    assert bench.state() == "unconfigured"
    assert "cannot configure: " in bench.supervisor.last_words(GUARD, lines=1)
    assert "own.yaml: cannot be read" in bench.supervisor.last_words(GUARD, lines=1)
    wait_for(lambda: any("own.yaml: cannot be read" in text for text in bench.diagnosed), 5.0, "diagnostics")
    shutil.copy(shipped_directory("calibration") / "profiles" / "cobot_magic.yaml", own)
    bench.lead("configure", "activate")
    bench.follow("run")


def test_another_set_of_parameters_takes_a_cleanup(bench, tmp_path):
    slow = yaml.safe_load((shipped_directory("calibration") / "cobot.yaml").read_text())
    slow["limits"]["velocity"] = [0.1] * 7
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(slow))
    bench.start()
    bench.lead("configure", "activate")
    bench.follow("fast")
    fast = speeds(bench.log, "left").max()
    changes = {"limits": str(tmp_path / "slow.yaml"), "command_rate_hz": 50.0}
    for transition in ("deactivate", "cleanup"):
        with pytest.raises(OperatorError, match="cannot be changed"):
            bench.operator.set_parameters(GUARD, changes)
        bench.lead(transition)
    with pytest.raises(OperatorError, match="'cpu_core' cannot be changed"):
        bench.operator.set_parameters(GUARD, {"cpu_core": 0})
    bench.operator.set_parameters(GUARD, changes)
    bench.lead("configure", "activate")
    bench.log.clear()
    bench.engage()
    stream(bench.robot, 1.5, run_id="slow")
    stamps_ns = [reading.stamp_ns for reading in bench.log.readings("left")]
    assert np.median(np.diff(stamps_ns)) == pytest.approx(20e6, rel=1e-3)
    assert speeds(bench.log, "left").max() < 0.101 < fast
