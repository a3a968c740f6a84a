"""The middleware's deadline and manual liveliness, between two real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from support.fake_cobot import FakeCobot, wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.cobot import load_robot_profile
from svam_ros.nodes.robot_operator import Operator

PROFILE = load_robot_profile("cobot_magic")
SINE = "motion=sine amplitude=0.1"


@pytest.fixture
def operator(supervisor) -> Iterator[Operator]:
    """Of arms in motion, led by a guard and a policy of their own processes."""
    robot = FakeCobot(PROFILE)
    operator = Operator(PROFILE)
    try:
        supervisor.start(spec(graph.GUARD_NODE))
        supervisor.start(spec(graph.POLICY_NODE, model=SINE, instruction="swing"))
        for transition in ("configure", "activate"):
            operator.transition(graph.POLICY_NODE, transition, 60.0)
        wait_for(lambda: len(robot.heard.chunks) > 2, 20.0, "chunks")
        wait_for(lambda: "joint_state_age_ms" in operator.motion, 20.0, "the guard")
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        wait_for(lambda: operator.motion.get("state") == "following", 20.0, "motion")
        yield operator
    finally:
        operator.close()
        robot.close()


def silences(operator: Operator) -> int:
    return int(operator.motion.get("fault POLICY_SILENT", "0"))


def test_a_policy_that_sleeps_is_missed_and_one_that_wakes_up_is_followed_again(operator, supervisor):
    before = silences(operator)
    os.kill(supervisor.pid(graph.POLICY_NODE), signal.SIGSTOP)
    wait_for(lambda: silences(operator) == before + 1, 5.0, "the silence")
    wait_for(lambda: operator.motion["state"] == "holding", 5.0, "the hold")
    assert operator.motion["fault"] == "POLICY_SILENT"
    assert silences(operator) == before + 1
    os.kill(supervisor.pid(graph.POLICY_NODE), signal.SIGCONT)
    wait_for(lambda: operator.motion["state"] == "following", 10.0, "motion")


def test_a_policy_that_takes_its_leave_is_not_missed(operator):
    operator.transition(graph.POLICY_NODE, "deactivate", 10.0)
    wait_for(lambda: operator.motion["state"] == "holding", 5.0, "the hold")
    before = silences(operator)
    time.sleep(0.5)
    assert operator.motion["fault"] != "POLICY_SILENT"
    assert silences(operator) == before
