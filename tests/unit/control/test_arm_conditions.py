"""What an output hears from the arms holds and stops the guard, and forbids to engage."""

from __future__ import annotations

from support.guard_rig import GuardRig, feed, in_motion, is_at_rest, steady

from svam_ros.control.arm_conditions import ArmConditions
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.guard import GuardState

ENABLING = Finding(Fault.ARM_ENABLING, "it holds")
FAULTY = Finding(Fault.ARM_FAULTY, "the left arm is in emergency stop")
STALE = Finding(Fault.JOINT_STATES_STALE, "late")
LOST = Finding(Fault.JOINT_STATES_LOST, "gone")


def test_what_stops_comes_before_what_holds_whoever_says_it():
    conditions = ArmConditions()
    assert conditions.worst(None) is None
    assert conditions.worst(STALE) is STALE
    conditions.observe("left", ENABLING)
    assert conditions.worst(None) is ENABLING
    assert conditions.worst(LOST) is LOST
    conditions.observe("right", FAULTY)
    assert conditions.worst(STALE) is FAULTY
    conditions.observe("left", None)
    conditions.observe("right", None)
    assert conditions.worst(None) is None


def test_a_faulty_arm_stops_both_within_their_limits_and_forbids_to_engage_while_it_is():
    rig = GuardRig()
    in_motion(rig)
    rig.guard.conditions.observe("left", FAULTY)
    commands = rig.run(600, feed(rig, steady(rig, 0, 1.5), first_sequence=9000))
    assert rig.state is GuardState.STOPPED
    assert rig.status_text().endswith("cannot follow: the left arm is in emergency stop")
    assert commands[1].velocities.any(), "it brakes, it does not freeze"
    assert is_at_rest(commands[-1])
    rig.run(600)
    findings = rig.engage()
    assert [finding.fault for finding in findings] == [Fault.ENGAGE_WITH_FAULTY_ARM]
    assert "emergency stop" in findings[0].detail
    rig.guard.conditions.observe("left", None)
    assert rig.engage() == []


def test_while_motors_are_enabled_the_guard_holds_the_measured_pose_and_then_ramps():
    rig = GuardRig()
    assert rig.engage() == []
    rig.guard.conditions.observe("right", ENABLING)
    commands = rig.run(500, feed(rig, steady(rig, 0, 0.4)))
    assert rig.state is GuardState.HOLDING
    assert "being enabled" in rig.status_text()
    assert all((command.positions == rig.cobot.home).all() for command in commands)
    rig.guard.conditions.observe("right", None)
    rig.run(100, feed(rig, steady(rig, 0, 0.4), first_sequence=9000))
    assert rig.state is GuardState.RAMPING


def test_an_arm_that_is_being_enabled_is_no_obstacle_and_a_fault_stops_nobody_who_is_idle():
    rig = GuardRig()
    rig.guard.conditions.observe("left", FAULTY)
    rig.run(100)
    assert rig.state is GuardState.IDLE
    rig.guard.conditions.observe("left", ENABLING)
    assert rig.engage() == []
