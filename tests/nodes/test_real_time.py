"""Memory lock, priority and core of the guard: asked for, reported, never required."""

from __future__ import annotations

import os

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from support.fake_cobot import wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.cobot import load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import status_values
from svam_ros.nodes.robot_operator import Operator


@pytest.fixture
def reported(ros_domain):
    """Fills with what /diagnostics of the guard says about it."""
    operator = Operator(load_robot_profile("cobot_magic"))
    heard: list[str] = []

    def on_diagnostics(message: DiagnosticArray) -> None:
        values = status_values(message, graph.GUARD_NODE)
        if values:
            heard.append(values["real_time"])

    operator.streams.subscribe(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, on_diagnostics, qos.STATUS)
    yield heard
    operator.close()


def test_what_is_granted_is_in_force_and_what_is_not_is_said(supervisor, reported):
    supervisor.start(spec(graph.GUARD_NODE, lock_memory=True, fifo_priority=40, cpu_core=0))
    wait_for(lambda: reported != [], 20.0, "diagnostics")
    memory, priority, core = reported[-1].split("; ")
    pid = supervisor.pid(graph.GUARD_NODE)
    assert core == "on core 0"
    assert os.sched_getaffinity(pid) == {0}
    granted = os.sched_getscheduler(pid) == os.SCHED_FIFO
    assert priority.startswith("SCHED_FIFO with priority 40" if granted else "no SCHED_FIFO (")
    assert memory.startswith("memory is locked" if locked_kb(pid) else "memory is not locked (")


def test_a_core_that_is_not_there_is_named_and_the_guard_runs(supervisor, reported):
    supervisor.start(spec(graph.GUARD_NODE, cpu_core=1023))
    wait_for(lambda: reported != [], 20.0, "diagnostics")
    assert reported[-1].startswith("not on core 1023 (")


def test_nothing_is_said_where_nothing_is_wanted(supervisor, reported):
    supervisor.start(spec(graph.GUARD_NODE))
    wait_for(lambda: reported != [], 20.0, "diagnostics")
    assert reported[-1] == ""


def locked_kb(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmLck:"))
