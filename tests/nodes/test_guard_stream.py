"""What the guard sends, looked at on the wire: its stamps' spacing, and that it brakes when it fails."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from support.fake_cobot import FakeCobot, stream, wait_for
from support.motion_checks import assert_came_to_rest, assert_within_limits
from support.processes import spec

from svam_ros import graph
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.cobot import ARM_NAMES, load_robot_profile
from svam_ros.nodes.command_log import CommandLog
from svam_ros.nodes.robot_operator import Operator


@pytest.mark.parametrize(
    ("profile_name", "asked_hz", "rate_hz"),
    [("cobot_magic", 0.0, 100.0), ("cobot_magic", 25.0, 25.0), ("piper_dual", 200.0, 200.0)],
)
def test_set_points_lie_on_a_uniform_clock_of_the_rate_that_is_set(
    supervisor, profile_name, asked_hz, rate_hz
):
    profile = load_robot_profile(profile_name)
    robot, operator = FakeCobot(profile, camera=False), Operator(profile)
    log = CommandLog(operator.streams, profile, robot.cobot)
    try:
        supervisor.start(spec(graph.GUARD_NODE, profile=profile_name, command_rate_hz=asked_hz))
        operator.wait_until("joint states", lambda: "joint_state_age_ms" in operator.motion, 20.0)
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        stream(robot, 3.0)
        for arm in ARM_NAMES:
            stamps_ns = np.array([reading.stamp_ns for reading in log.readings(arm)])
            periods = np.diff(stamps_ns) * rate_hz / 1e9
            # A machine that stalls leaves set-points out; those that are sent stay on the clock, and a pause
            # after which the clock begins anew is the exception.
            assert np.median(periods) == pytest.approx(1.0, abs=1e-6)
            assert np.mean(np.abs(periods - np.round(periods)) < 1e-6) > 0.95
            assert np.all(periods > 0.999)
        assert_within_limits(log)
    finally:
        operator.close()
        robot.close()


FAILS_FOR_A_WHILE = """
import svam_ros.nodes.arm_output as arm_output
import svam_ros.nodes.guard_node as guard_node

sound, calls = arm_output.arm_command, 0

def arm_command(*arguments):
    global calls
    calls += 1
    if calls in (201, 202, 203):
        raise RuntimeError("injected")
    return sound(*arguments)

arm_output.arm_command = arm_command
raise SystemExit(guard_node.main())
"""

FAILING_SERVICE = """
import svam_ros.control.guard as guard
import svam_ros.nodes.guard_node as guard_node

def hold(_guard):
    raise RuntimeError("injected")

guard.Guard.hold = hold
raise SystemExit(guard_node.main())
"""


@pytest.mark.parametrize("source", [FAILS_FOR_A_WHILE, FAILING_SERVICE], ids=["set_point", "service"])
def test_a_guard_that_fails_within_brakes_and_lives(ros_domain, tmp_path, source):
    (tmp_path / "failing_guard.py").write_text(source)
    path = os.pathsep.join(filter(None, (str(tmp_path), ros_domain.get("PYTHONPATH", ""))))
    supervisor = Supervisor({**ros_domain, "PYTHONPATH": path}, tmp_path / "logs")
    profile = load_robot_profile("cobot_magic")
    robot, operator = FakeCobot(profile, camera=False), Operator(profile)
    log = CommandLog(operator.streams, profile, robot.cobot)
    try:
        supervisor.start(replace(spec(graph.GUARD_NODE), module="failing_guard"))
        operator.wait_until("joint states", lambda: "joint_state_age_ms" in operator.motion, 20.0)
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        stream(robot, 0.9)
        if source is FAILING_SERVICE:
            ask_to_hold_without_waiting(operator)
        stream(robot, 1.0, run_id="second")
        wait_for(lambda: operator.motion["state"] == "stopped" and operator.motion["at_rest"] == "true", 5.0)
        assert "internal error" in operator.motion["reason"]
        assert "injected" in operator.motion["reason"]
        assert supervisor.failed_child() is None
        time.sleep(0.2)
        assert_came_to_rest(log)
        assert log.audit().max_break_ratio is None or log.audit().max_break_ratio <= 1.0
    finally:
        supervisor.stop([graph.GUARD_NODE])
        operator.close()
        robot.close()


def ask_to_hold_without_waiting(operator: Operator) -> None:
    from std_srvs.srv import Trigger

    client = operator.node.create_client(Trigger, graph.HOLD_SERVICE.replace("~", graph.GUARD_NODE))
    wait_for(client.service_is_ready, 5.0, "the service")
    client.call_async(Trigger.Request())
