"""A guard that was not run in time, or cannot compute: what the arms were told last leads them to rest."""

from __future__ import annotations

import numpy as np
import pytest
from support.guard_rig import GuardRig, feed, in_motion, steady

from svam_ros.control import motion_limiter
from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardSettings, GuardState

AHEAD_MS = 60.0


@pytest.fixture
def ahead() -> GuardRig:
    """Its output sends motions that end at rest, a while before they are due."""
    rig = GuardRig(GuardSettings(commit_ahead_ms=AHEAD_MS))
    in_motion(rig)
    return rig


def wake_up(rig: GuardRig, after_ms: float):
    rig.clock.advance_ms(after_ms)
    return rig.guard.tick(rig.clock.now_ns())


def way_to_rest(rig: GuardRig):
    way = rig.guard.way_to_rest(rig.settings.tick_period_ns / 1e9)
    assert way is not None
    return way.positions


def test_set_points_that_are_past_are_not_sent_the_arms_were_on_their_way_to_rest(ahead):
    before = way_to_rest(ahead)
    assert wake_up(ahead, AHEAD_MS + 30.0) is None
    assert ahead.guard.set_points == []
    status = ahead.guard.status(ahead.clock.now_ns())
    assert (status.state, status.fault) == (GuardState.HOLDING, Fault.GUARD_WAS_LATE)
    behind = ahead.settings.catch_up_periods
    assert np.allclose(way_to_rest(ahead)[:5], before[behind : behind + 5], atol=1e-9)


def test_after_a_long_sleep_the_arms_stand_where_what_was_sent_has_led_them(ahead):
    rest = way_to_rest(ahead)[-1]
    assert np.abs(rest - ahead.commands[-1].positions).max() > 0.1
    command = wake_up(ahead, 600.0)
    assert np.allclose(command.positions, rest, atol=1e-9)
    assert not command.velocities.any()


def test_patience_with_an_arm_that_is_off_begins_anew_after_a_sleep():
    rig = GuardRig()
    in_motion(rig)

    def off() -> None:
        rig.measured = rig.measured + 0.3

    rig.run(100, off)
    assert rig.state is not GuardState.STOPPED
    wake_up(rig, 500.0)
    assert rig.state is GuardState.HOLDING
    rig.run(100, off)
    assert rig.state is not GuardState.STOPPED
    rig.run(200, off)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.ARM_NOT_FOLLOWING


def test_a_sleep_does_not_end_an_operators_hold():
    rig = GuardRig()
    in_motion(rig)
    rig.guard.hold()
    rig.run(20, delays_ms=[500.0])
    assert rig.status_text() == "holding: an operator asked to hold"


def test_a_motion_that_cannot_be_computed_becomes_braking(monkeypatch):
    rig = GuardRig()
    in_motion(rig)
    fast = np.abs(rig.commands[-1].velocities).max()
    monkeypatch.setattr(motion_limiter, "_succeeds", lambda *_: False)
    commands = rig.run(400, feed(rig, steady(rig, 0, 1.5), first_sequence=10_000))
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.MOTION_NOT_COMPUTABLE
    assert {command.state for command in commands} <= {GuardState.HOLDING, GuardState.RAMPING}
    assert np.abs(commands[-1].velocities).max() < fast / 2
