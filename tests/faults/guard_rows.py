"""Rows 12, 21, 22, 25, 28 and 30: the guard itself, its operator, and others who would command."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
from sensor_msgs.msg import JointState
from support.processes import spec

from faults.rig import FaultRig
from faults.row import BRAKE_MS, NAMED_MS, Figures, Suffered, assert_sound, assert_stays_stopped, row
from svam_ros import graph
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.control.faults import Fault
from svam_ros.control.settings import GuardSettings
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import command_message
from svam_ros.nodes.robot_operator import OperatorError
from svam_ros.translation.commands import arm_command

GUARD = "guard_node"
SERVICE_MS = 10.0
"""A request waits for the guard's next look."""


@row(12, "engaged 0.6 rad from the path", speed_ratio=GuardSettings().ramp_speed_fraction * 1.05)
def far_away(rig: FaultRig) -> Figures:
    """The approach keeps to its share of the speed while a person may be near."""
    rig.prepare_source()
    place = rig.cobot.home.copy()
    place[[0, 7]] += 0.6
    for arm in ("left", "right"):
        rig.parts[arm].tell(place=place.tolist())
    rig.pause(0.2)
    rig.begin()
    rig.operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    rig.wait_state("ramping")
    began_ns = time.monotonic_ns()
    rig.wait_state("following", 30.0)
    record = rig.record()
    assert_sound(rig, record)
    slow_ns = began_ns + round((GuardSettings().engage_ramp_ms - 200.0) * 1e6)
    return {"speed_ratio": record.peak_speed_ratio(rig.cobot, 0, slow_ns)}


@row(38, "machines of the network could command")
def open_network(rig: FaultRig) -> Figures:
    """The guard says so at its start, and what to do; on this machine alone it says nothing."""
    rig.prepare_robot()
    warning = "every machine on this network can command the arms"
    assert warning not in rig.log_of(graph.GUARD_NODE).read_text()
    rig.kill(graph.GUARD_NODE)
    # The Fast DDS profile keeps even this guard on the loopback interface.
    subnet = {**rig.environment, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    others = Supervisor(subnet, rig.folder / "open_network")
    others.start(spec(graph.GUARD_NODE))
    log = rig.folder / "open_network" / f"{graph.GUARD_NODE}.log"
    rig.wait("the warning", lambda: warning in log.read_text(), 20.0)
    others.stop([graph.GUARD_NODE])
    return {}


@row(21, "kill -9 of the guard", rest_ms=BRAKE_MS)
def killed(rig: FaultRig) -> Figures:
    """The drivers keep the last set-point: the arms stand within a period of it."""
    rig.prepare()
    rig.begin()
    rig.follow()
    since_ns = rig.kill(graph.GUARD_NODE)
    rig.pause(0.8)
    return {"rest_ms": rig.record().rest_ms(since_ns)}


@row(22, "every core is taken twice")
def starved(rig: FaultRig) -> Figures:
    """Late ticks are counted; whatever comes of it stays within the limits."""
    rig.prepare()
    rig.begin()
    rig.follow()
    busy = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(busy) for _ in range(4)]
    try:
        rig.pause(4.0)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    rig.pause(0.5)
    assert_sound(rig, rig.record())
    assert rig.operator.motion["state"] in ("ramping", "following", "holding", "stopped")
    return {}


@row(25, "a second commander", named_ms=NAMED_MS, rest_ms=BRAKE_MS)
def second_commander(rig: FaultRig) -> Figures:
    """The guard ends its own part of the fight and says so; while the other goes on nobody engages."""
    rig.prepare()
    profile = rig.profile
    node = rig.operator.node
    publisher = node.create_publisher(JointState, profile.arms["right"].command_topic, qos.JOINT_OUTPUT)
    rig.pause(0.5)

    def command() -> int:
        at_ns = time.monotonic_ns()
        row = rig.cobot.arm_slice("right")
        set_point = arm_command(profile, "right", rig.cobot.home[row], np.zeros(7))
        publisher.publish(command_message(set_point, node.get_clock().now().nanoseconds))
        return at_ns

    rig.begin()
    rig.follow()
    since_ns = command()
    rig.wait_named(Fault.SECOND_COMMANDER, GUARD)
    rig.wait_state("stopped")
    command()
    rig.pause(0.1)
    with contextlib.suppress(OperatorError):
        rig.operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        raise AssertionError("engaged beside another commander")
    rig.pause(1.2)
    record = rig.record()
    node.destroy_publisher(publisher)
    figures = {
        "named_ms": Suffered(record, since_ns).named_ms(Fault.SECOND_COMMANDER, GUARD),
        "rest_ms": record.rest_ms(since_ns, "left"),
    }
    assert_stays_stopped(rig)
    return figures


@row(28, "the operator stops", rest_ms=BRAKE_MS)
def stop(rig: FaultRig) -> Figures:
    """From full motion, within the limits."""
    rig.prepare()
    rig.begin()
    rig.follow()
    since_ns = time.monotonic_ns()
    rig.operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
    rig.pause(0.8)
    record = rig.record()
    assert_sound(rig, record)
    assert_stays_stopped(rig)
    return {"rest_ms": record.rest_ms(since_ns)}


@row(28, "forty calls at random times")
def calls(rig: FaultRig) -> Figures:
    """Stop wins, calls repeat without harm, and an engage while braking is refused with its reason."""
    rig.prepare()
    rig.begin()
    choose = random.Random(28)
    for _ in range(40):
        service = choose.choice((graph.ENGAGE_SERVICE, graph.HOLD_SERVICE, graph.STOP_SERVICE))
        try:
            rig.operator.trigger(graph.GUARD_NODE, service)
        except OperatorError as refusal:
            if "braking" not in str(refusal) and "nothing to hold" not in str(refusal):
                raise
        rig.pause(choose.uniform(0.0, 0.2))
    rig.stop()
    assert_sound(rig, rig.record())
    assert_stays_stopped(rig)
    return {}


def _told_to_end(rig: FaultRig, number: signal.Signals) -> Figures:
    rig.prepare()
    rig.begin()
    rig.follow()
    since_ns = rig.kill(graph.GUARD_NODE, number)
    rig.kill(graph.GUARD_NODE, number)
    assert rig.wait_exit(graph.GUARD_NODE) == 0
    ended_ms = (time.monotonic_ns() - since_ns) / 1e6
    rig.pause(0.3)
    record = rig.record()
    assert_sound(rig, record)
    return {"rest_ms": record.rest_ms(since_ns), "end_ms": ended_ms}


@row(30, "Ctrl-C of the guard, twice", rest_ms=BRAKE_MS, end_ms=1000.0)
def interrupted(rig: FaultRig) -> Figures:
    """It brakes, then ends; the second signal shortens nothing."""
    return _told_to_end(rig, signal.SIGINT)


@row(30, "SIGTERM of the guard, twice", rest_ms=BRAKE_MS, end_ms=1000.0)
def terminated(rig: FaultRig) -> Figures:
    """The same."""
    return _told_to_end(rig, signal.SIGTERM)
