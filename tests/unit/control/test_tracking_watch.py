"""A joint is where it should be while it stands between two commands of the lag; beyond, patience ends."""

from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.control.faults import Fault
from svam_ros.control.settings import GuardSettings
from svam_ros.control.tracking_watch import TrackingWatch

MS = 1_000_000
COBOT = load_cobot()


def found(
    command_at, measured_at, joint: int = 3, end_ms: int = 3000, **settings: float
) -> tuple[int, str] | None:
    """When and how a joint is found not to follow, looked at every 10 ms; ``None`` if never."""
    watch = TrackingWatch(COBOT, GuardSettings(**settings))
    for at_ms in range(0, end_ms, 10):
        told, measured = COBOT.home.copy(), COBOT.home.copy()
        told[joint] += command_at(at_ms)
        measured[joint] += measured_at(at_ms)
        watch.commanded(at_ms * MS, told)
        finding = watch.check(measured, at_ms * MS)
        if finding is not None:
            assert finding.fault is Fault.ARM_NOT_FOLLOWING
            return at_ms, finding.detail
    return None


def swing(at_ms: float) -> float:
    """0.5 rad at up to 3 rad/s."""
    return 0.5 * float(np.sin(6.0 * max(at_ms, 0.0) / 1e3))


@pytest.mark.parametrize("lag_ms", [0, 100, 200, 300])
def test_a_servo_that_lags_follows(lag_ms):
    assert found(swing, lambda at_ms: swing(at_ms - lag_ms)) is None


def test_a_servo_that_stands_a_little_beside_follows():
    assert found(swing, lambda at_ms: swing(at_ms - 150) + 0.12) is None


def test_a_joint_that_is_blocked_is_found_once_lag_and_patience_are_over():
    at_ms, detail = found(lambda at_ms: 1e-3 * at_ms, lambda at_ms: min(1e-3 * at_ms, 0.5))
    # At 1 rad/s the oldest command of the lag is 0.15 rad past the stop after 950 ms.
    assert 1150 <= at_ms <= 1180
    assert detail.startswith(f"{COBOT.joint_names[3]} is 0.3")


def test_a_shorter_deviation_is_forgiven():
    assert found(lambda _: 0.0, lambda at_ms: 0.3 * (500 <= at_ms < 690)) is None
    assert found(lambda _: 0.0, lambda at_ms: 0.3 * (500 <= at_ms < 710))[0] == 700


def test_grippers_close_on_things_and_are_not_watched():
    for joint in COBOT.gripper_indices:
        assert found(lambda _: -0.07, lambda _: 0.0, joint) is None


def test_nothing_is_found_before_a_command_or_without_measured_joints_or_after_a_restart():
    watch = TrackingWatch(COBOT, GuardSettings(tracking_patience_ms=0.0))
    assert watch.check(COBOT.home + 1.0, 0) is None
    watch.commanded(0, COBOT.home)
    assert watch.check(None, 0) is None
    assert watch.check(COBOT.home + 1.0, 0) is not None
    watch.restart()
    assert watch.check(COBOT.home + 1.0, 0) is None


def test_what_is_remembered_does_not_grow():
    watch = TrackingWatch(COBOT, GuardSettings())
    for tick in range(10_000):
        watch.commanded(tick * 10 * MS, COBOT.home)
    assert len(watch._commands) == 31


def test_a_gripper_that_holds_something_follows_however_little_is_allowed():
    (gripper, *_) = COBOT.gripper_indices
    for joint, follows in ((gripper, True), (0, False)):
        where = found(lambda _: 0.0, lambda _: 0.05, joint, tracking_error_rad=0.02)
        assert (where is None) == follows


def test_patience_begins_anew_whenever_a_joint_is_where_it_should_be():
    assert found(lambda _: 0.0, lambda at_ms: 0.0 if at_ms % 200 == 150 else 0.3) is None
    assert found(lambda _: 0.0, lambda at_ms: 0.0 if at_ms % 300 == 150 else 0.3) is not None
