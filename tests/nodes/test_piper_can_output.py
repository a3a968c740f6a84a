"""guard_node as a process, commanding two Piper arms by AgileX's genuine SDK on virtual buses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import JointState
from support.fake_cobot import FakeCobot, wait_for
from support.motion_checks import assert_came_to_rest, assert_within_limits
from support.piper_guard_process import CHANNELS
from support.processes import spec

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, RobotProfile, load_robot_profile
from svam_ros.drivers.piper_units import to_wire
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.command_log import CommandLog
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.shipped_files import shipped_directory
from svam_ros.translation.joint_states import read_joint_state

TESTS = Path(__file__).resolve().parents[1]


class GuardWithArms:
    """The process, told what its arms shall do."""

    def __init__(self, profile: Path, environment: dict[str, str], folder: Path) -> None:
        parameters = folder / "guard.yaml"
        values = {"profile": str(profile), "black_box": str(folder / "black_boxes")}
        parameters.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        self.log = folder / "guard.log"
        paths = os.pathsep.join((str(TESTS), *filter(None, [environment.get("PYTHONPATH")])))
        command = [sys.executable, "-m", "support.piper_guard_process", "--ros-args"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--params-file", str(parameters)],
                env={**environment, "PYTHONPATH": paths},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def order(self, **order: object) -> dict:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise AssertionError(f"it ended: {self.log.read_text()[-2000:]}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Bench:
    """The guard with its arms, a source of chunks, an operator, and what passes on the topics."""

    def __init__(self, profile: RobotProfile, guard: GuardWithArms) -> None:
        self.profile, self.guard = profile, guard
        self._sequence, self._began_s = 0, time.monotonic()
        self.robot = FakeCobot(profile, camera=False)
        self.robot.publish_states = False
        self.operator = Operator(profile)
        self.log = CommandLog(self.operator.streams, profile, self.robot.cobot)
        self.states: dict[str, list[JointState]] = {arm: [] for arm in ARM_NAMES}
        for arm in ARM_NAMES:
            topic = profile.arms[arm].state_topic
            self.operator.streams.subscribe(JointState, topic, self.states[arm].append, qos.RECORDING)

    def engage(self) -> None:
        self.operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE, 15.0)

    def swing(self, seconds: float, amplitude: float = 0.3) -> None:
        """Chunks, without a pause, that swing joint 1 of both arms around home."""
        end_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < end_s:
            self._sequence += 1
            rows = np.tile(self.robot.cobot.home, (8, 1))
            times = now_s - self._began_s + (np.arange(8) + 2) * 0.04
            rows[:, [0, 7]] += amplitude * np.sin(2.0 * times)[:, None]
            self.robot.send_chunk(rows, self._sequence)
            time.sleep(0.1)

    def follow(self) -> None:
        """Engage, and swing until the arms have followed for two seconds."""
        self.engage()
        self.until(lambda motion: motion["state"] == "following", 20.0)
        self.swing(2.0)

    def until(self, condition: Callable[[dict[str, str]], bool], within_s: float, **swing: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition(self.operator.motion):
            assert time.monotonic() < deadline, self.operator.motion
            self.swing(0.2, **swing)

    def stops(self, fault: str, within_s: float = 5.0) -> str:
        """Wait until both arms have been brought to rest for this; gives the reason in words."""

        self.until(lambda motion: motion["state"] == "stopped" and motion["at_rest"] == "true", within_s)
        assert self.operator.motion["fault"] == fault, self.operator.motion
        return self.operator.motion["reason"]

    def tell(self, arm: str) -> dict:
        return self.guard.order(tell=arm)

    def close(self) -> None:
        self.operator.close()
        self.robot.close()
        self.guard.close()


@pytest.fixture
def bench(ros_domain, tmp_path):
    raw = yaml.safe_load((shipped_directory("calibration") / "profiles" / "piper_can.yaml").read_text())
    raw["piper_can"] = {"bus_type": "virtual", "interfaces": CHANNELS}
    path = tmp_path / "virtual.yaml"
    path.write_text(yaml.safe_dump(raw))
    guard = GuardWithArms(path, ros_domain, tmp_path)
    bench = Bench(load_robot_profile(str(path)), guard)
    try:
        bench.operator.wait_until("the guard", lambda: "joint_state_age_ms" in bench.operator.motion, 30.0)
        yield bench
    finally:
        bench.close()


def assert_in_order(within: list[tuple[int, ...]], all_of: list[tuple[int, ...]]) -> None:
    """Every one of ``within`` is there, none before its predecessor."""
    place = 0
    for item in within:
        assert item in all_of[place:], item
        place = all_of.index(item, place)


def test_arms_are_enabled_at_engage_follow_chunks_and_are_left_at_rest_with_power(bench):
    bench.swing(0.5)
    for arm in ARM_NAMES:
        told = bench.tell(arm)
        assert not told["wires"]
        assert not told["is_powered"]
        assert set(told["frames"]) <= {"4AF"}
    bench.follow()
    bench.guard.process.send_signal(signal.SIGINT)
    assert bench.guard.process.wait(5.0) == 0
    home = bench.robot.cobot.home
    for arm in ARM_NAMES:
        start = to_wire(home[bench.robot.cobot.arm_slice(arm)])
        swung = [reading.positions[0] for reading in bench.log.readings(arm)]
        assert np.ptp(swung) > 0.2
        assert to_wire(bench.log.readings(arm)[0].positions) == start
    assert_within_limits(bench.log)
    assert_came_to_rest(bench.log)


def test_what_is_on_the_bus_is_what_was_published_and_begins_where_the_arm_stands(bench):
    bench.follow()
    bench.operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
    bench.stops("")
    time.sleep(1.0)
    assert_within_limits(bench.log)
    for arm in ARM_NAMES:
        told = bench.tell(arm)
        wires = [tuple(wire) for wire in told["wires"]]
        published = [to_wire(reading.positions) for reading in bench.log.readings(arm)]
        assert wires[0] == published[0] == tuple(told["measured"][0])
        while_enabling = [wire for wire, on in zip(wires, told["powered"], strict=True) if not on]
        assert set(while_enabling) <= {wires[0]}
        assert told["modes"] == [[1, 1, bench.profile.speed_percent, 0]]
        assert_in_order(wires, published)
        assert len(wires) > 0.8 * len(published)
        assert tuple(told["position"]) == wires[-1]
        assert told["is_powered"], "a stop leaves the arm holding"


def test_joint_states_are_published_as_drivers_would(bench):
    bench.follow()
    for arm in ARM_NAMES:
        readings = [
            read_joint_state(message, bench.profile, arm, message.header.stamp.sec * 10**9)
            for message in bench.states[arm]
        ]
        stamps_ns = np.array([reading.stamp_ns for reading in readings])
        assert (np.diff(stamps_ns) > 0).all()
        assert len(readings) / ((stamps_ns[-1] - stamps_ns[0]) / 1e9) > 40.0
        assert abs(bench.robot.now_ns() - stamps_ns[-1]) < 2e9
        commanded = np.array([reading.positions[0] for reading in bench.log.readings(arm)])
        measured = np.array([reading.positions[0] for reading in readings])
        assert abs(np.ptp(measured) - np.ptp(commanded)) < 0.1


@pytest.mark.parametrize(
    ("mishap", "repair", "words"),
    [
        ({"do": "stop_at_once"}, {"set": "arm_status", "value": 0}, "left arm is in emergency stop"),
        ({"set": "error_bits", "value": 8}, {"set": "error_bits", "value": 0}, "does not hear joint 4"),
        ({"set": "is_leader", "value": True}, {"set": "is_leader", "value": False}, "reports as a leader"),
        ({"do": "cut_power"}, None, "does not take set-points any more"),
    ],
)
def test_a_fault_of_an_arm_stops_both_and_forbids_to_engage_while_it_lasts(bench, mishap, repair, words):
    bench.follow()
    bench.guard.order(arm="left", **mishap)
    assert words in bench.stops("ARM_FAULTY")
    if repair is not None:
        time.sleep(1.2)
        with pytest.raises(OperatorError, match=r"cannot engage: an arm would not follow.*left arm"):
            bench.engage()
        bench.guard.order(arm="left", **repair)
    time.sleep(2.0)
    bench.engage()
    assert_within_limits(bench.log)


def test_a_bus_that_fails_stops_the_guard_which_goes_on_ticking(bench):
    bench.follow()
    late_before = int(bench.operator.motion["late_ticks"])
    bench.guard.order(arm="right", bus_on=False)
    reason = bench.stops("ARM_UNREACHABLE")
    assert "virtual_right" in reason
    bench.swing(1.0)
    assert bench.operator.motion["state"] == "stopped", "motion is still told"
    assert int(bench.operator.motion["late_ticks"]) - late_before < 100
    assert_within_limits(bench.log)
    bench.guard.order(arm="right", bus_on=True)
    time.sleep(1.5)
    bench.engage()


def test_a_bus_that_blocks_stops_the_guard_too(bench):
    bench.follow()
    bench.guard.order(arm="right", set="is_deaf", value=True)
    bench.stops("ARM_UNREACHABLE", 8.0)
    bench.guard.order(arm="right", set="is_deaf", value=False)


def test_a_leader_on_the_bus_is_a_second_commander(bench):
    bench.follow()
    bench.guard.order(arm="left", do="be_led")
    assert "left arm" in bench.stops("SECOND_COMMANDER")


def test_a_silent_arm_stops_the_guard(bench):
    bench.follow()
    bench.guard.order(arm="right", set="silent", value=True)
    assert "right arm" in bench.stops("JOINT_STATES_LOST")


def test_a_stuck_joint_stops_the_guard(bench):
    bench.engage()
    bench.guard.order(arm="left", do="hold_joint_1")
    bench.until(lambda motion: motion["state"] == "stopped", 15.0, amplitude=1.0)
    assert bench.operator.motion["fault"] == "ARM_NOT_FOLLOWING"


def test_without_the_interfaces_the_guard_does_not_start_and_says_so(supervisor):
    supervisor.start(spec(graph.GUARD_NODE, profile="piper_can"))
    wait_for(lambda: supervisor.exit_code(graph.GUARD_NODE) is not None, 20.0, "its end")
    assert supervisor.exit_code(graph.GUARD_NODE) == 2
    assert "there is no CAN interface 'can_left'" in supervisor.last_words(graph.GUARD_NODE)
