"""When measured joints count as fresh: by their stamps, arm by arm, whatever a driver makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from support.guard_rig import ROS_TO_STEADY_NS, GuardRig

from svam_ros.cobot import load_cobot
from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardSettings, GuardState
from svam_ros.control.joint_state_watch import JointStateWatch
from svam_ros.types import ArmReading

MS = 1_000_000


@pytest.fixture
def rig() -> GuardRig:
    return GuardRig()


def age_ms(rig: GuardRig) -> float | None:
    return rig.guard.status(rig.clock.now_ns()).joint_state_age_ms


def engaged(rig: GuardRig) -> GuardRig:
    assert rig.engage() == []
    rig.run(50)
    rig.joint_states_arrive = False
    return rig


def test_a_driver_that_repeats_its_last_sample_holds_and_then_stops_the_arms(rig):
    engaged(rig)
    stamp_ns = rig.ros_now_ns

    def repeat() -> None:
        rig.observe_arm("left", stamp_ns)
        rig.observe_arm("right", rig.ros_now_ns)

    rig.run(170, repeat)
    status = rig.guard.status(rig.clock.now_ns())
    assert (status.state, status.fault) == (GuardState.HOLDING, Fault.JOINT_STATES_STALE)
    assert "the left arm's driver repeats an old stamp" in status.reason
    rig.run(400, repeat)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.JOINT_STATES_LOST


def test_a_repetition_now_and_then_is_no_fault(rig):
    engaged(rig)

    def publish_faster_than_measured() -> None:
        for _ in range(3):
            rig.observe()

    rig.run(500, publish_faster_than_measured)
    assert rig.guard.status(rig.clock.now_ns()).faults == {}


def test_samples_that_go_on_coming_but_were_measured_long_ago_are_stale(rig):
    engaged(rig)
    rig.run(200, lambda: rig.observe(age_ms=160.0))
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.JOINT_STATES_STALE
    assert age_ms(rig) == pytest.approx(160.0)


def test_samples_from_the_future_are_rejected_and_do_not_outlive_the_present(rig):
    assert rig.observe(age_ms=-20.0) is None
    assert age_ms(rig) == 0.0
    rig.clock.advance_ms(100)
    finding = rig.observe(age_ms=-21.0)
    assert finding.fault is Fault.JOINT_STATES_FROM_FUTURE
    assert "left arm's are stamped 21 ms ahead" in finding.detail
    assert age_ms(rig) == pytest.approx(100.0)


def test_the_reason_not_to_engage_says_what_is_wrong_with_the_messages(rig):
    rig.observe(age_ms=-500.0)
    (finding,) = rig.guard.engage(rig.clock.now_ns())
    assert finding.fault is Fault.ENGAGE_WITHOUT_JOINT_STATES
    assert "500 ms ahead: are clocks in step?" in finding.detail
    rig.observe_arm("left", rig.ros_now_ns)
    (finding,) = rig.guard.engage(rig.clock.now_ns())
    assert "from the right arm" in finding.detail
    rig.observe_arm("right", rig.ros_now_ns - 900 * MS)
    (finding,) = rig.guard.engage(rig.clock.now_ns())
    assert "nothing from the right arm for 900 ms" in finding.detail


def test_a_driver_that_has_mended_its_stamps_is_no_reason_any_more(rig):
    rig.observe_arm("left", rig.ros_now_ns + 500 * MS)
    rig.observe_arm("left", rig.ros_now_ns)
    (finding,) = rig.guard.engage(rig.clock.now_ns())
    assert finding.detail == "none have arrived yet from the right arm; are the drivers up?"


def test_no_joint_states_at_all_are_lost_ones():
    finding = JointStateWatch(load_cobot(), GuardSettings()).check(10**12)
    assert finding.fault is Fault.JOINT_STATES_LOST
    assert "none have arrived yet" in finding.detail


def test_after_ros_time_was_set_back_newer_samples_count_again(rig):
    rig.observe()
    set_back_ns = 3_600_000 * MS
    for arm in ("left", "right"):
        rig.clock.advance_ms(5)
        reading = ArmReading(np.zeros(7), np.zeros(7), rig.ros_now_ns - set_back_ns)
        rig.guard.observe_arm(arm, reading, ROS_TO_STEADY_NS + set_back_ns, rig.clock.now_ns())
    assert age_ms(rig) == pytest.approx(5.0)


def test_the_older_arm_decides(rig):
    rig.observe_arm("left", rig.ros_now_ns)
    assert age_ms(rig) is None
    rig.observe_arm("right", rig.ros_now_ns)
    rig.clock.advance_ms(30)
    rig.observe_arm("right", rig.ros_now_ns)
    assert age_ms(rig) == pytest.approx(30.0)


@pytest.mark.parametrize("size", [6, 8])
def test_joint_states_of_the_wrong_shape_are_rejected(rig, size):
    reading = ArmReading(np.zeros(size), np.zeros(7), rig.ros_now_ns)
    finding = rig.guard.observe_arm("left", reading, ROS_TO_STEADY_NS, rig.clock.now_ns())
    assert finding.fault is Fault.JOINT_STATES_MALFORMED
    assert "left" in finding.detail
