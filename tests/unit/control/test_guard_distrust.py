"""The guard and those it does not trust: arms that do not follow, and policies that send broken chunks."""

from __future__ import annotations

import numpy as np
import pytest
from support.guard_rig import GuardRig, assert_within_limits, feed, is_at_rest, steady

from svam_ros.control.faults import Fault, Finding
from svam_ros.control.guard import GuardState


@pytest.fixture
def rig() -> GuardRig:
    rig = GuardRig()
    assert rig.engage() == []
    rig.run(100, feed(rig, steady(rig)))
    assert rig.state is GuardState.FOLLOWING
    return rig


class Blocked:
    """One joint stands still from now on, whatever is commanded."""

    def __init__(self, rig: GuardRig, joint: int) -> None:
        self._rig, self._joint, self._at = rig, joint, rig.measured[joint]

    def __call__(self) -> None:
        measured = self._rig.measured.copy()
        measured[self._joint] = self._at
        self._rig.measured = measured


def test_arms_that_do_not_follow_are_stopped_where_they_are_measured(rig):
    blocked = Blocked(rig, 0)
    standing = rig.measured[0]
    chunks = iter(range(100, 200))

    def push_on() -> None:
        blocked()
        rig.submit(rig.chunk(steady(rig, offset=0.6), next(chunks)))

    for _ in range(20):
        rig.run(50, blocked)
        push_on()
        if rig.state is GuardState.STOPPED:
            break
    assert rig.state is GuardState.STOPPED
    assert rig.status_text().startswith("stopped: an arm does not go where it is told: left_joint1 is 0.")
    rig.run(1000, blocked)
    last = rig.commands[-1]
    assert is_at_rest(last)
    assert last.positions[0] == pytest.approx(standing, abs=2e-3)
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)


def test_grippers_stay_as_commanded_or_what_they_hold_would_fall(rig):
    gripper = rig.cobot.gripper_indices[0]
    closed = 0.01

    def hold_something() -> None:
        rig.measured = rig.measured.copy()
        rig.measured[gripper] = 0.04  # as wide as the thing between the fingers
        rig.measured[0] = rig.cobot.home[0]

    for number in range(30):
        actions = steady(rig, offset=0.6)
        actions[:, gripper] = closed
        rig.submit(rig.chunk(actions, 100 + number))
        rig.run(50, hold_something)
    rig.run(1000, hold_something)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.ARM_NOT_FOLLOWING
    assert rig.commands[-1].positions[gripper] == pytest.approx(closed, abs=2e-3)
    assert rig.commands[-1].positions[0] == pytest.approx(rig.cobot.home[0], abs=2e-3)


def test_arms_that_stand_outside_their_limits_come_to_rest_at_the_limit_and_the_guard_falls_silent(rig):
    outside = rig.cobot.limits.lower[1] - 0.02

    def sag() -> None:
        rig.measured = rig.measured.copy()
        rig.measured[1] = outside

    for number in range(30):
        rig.submit(rig.chunk(steady(rig), 100 + number))
        rig.run(50, sag)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.ARM_NOT_FOLLOWING
    rig.run(2000, sag)
    assert is_at_rest(rig.commands[-1])
    assert rig.commands[-1].positions[1] == pytest.approx(rig.cobot.limits.lower[1], abs=2e-3)
    assert rig.run(100, sag) == []


def test_after_that_only_an_engage_leads_on_and_the_past_is_forgotten(rig):
    blocked = Blocked(rig, 0)
    rig.run(40, blocked)
    for number in range(30):
        rig.submit(rig.chunk(steady(rig, offset=0.6), 100 + number))
        rig.run(40, blocked)
    assert rig.state is GuardState.STOPPED
    rig.run(1000)
    assert rig.engage() == []
    rig.run(500)
    assert rig.state is GuardState.HOLDING


def broken(rig: GuardRig, sequence: int, kind: str):
    actions = steady(rig, offset=0.1)
    if kind == "nan":
        actions[2, 5] = np.nan
    elif kind == "shape":
        actions = actions[:, :5]
    elif kind == "outside":
        actions[:, 0] = rig.cobot.limits.upper[0] + 0.2
    return rig.chunk(actions, sequence)


@pytest.mark.parametrize("kind", ["nan", "shape"])
def test_one_broken_chunk_is_dropped_two_hold_and_a_sound_one_resumes(rig, kind):
    rig.submit(broken(rig, 50, kind))
    rig.run(20)
    assert rig.state is GuardState.FOLLOWING
    rig.submit(broken(rig, 51, kind))
    rig.run(20)
    assert (
        rig.status_text()
        == "holding: chunk after chunk holds NaN or is none: 2 in a row; waiting for a sound one"
    )
    assert rig.submit(rig.chunk(steady(rig, offset=0.1), 52)) is None
    rig.run(100)
    assert rig.state in (GuardState.RAMPING, GuardState.FOLLOWING)
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)


@pytest.mark.parametrize(("kind", "many"), [("nan", 5), ("outside", 3)])
def test_a_policy_that_sends_nothing_else_stops_the_arms_until_an_engage(rig, kind, many):
    for number in range(many - 1):
        rig.submit(broken(rig, 50 + number, kind))
        rig.run(20)
    assert rig.state is not GuardState.STOPPED
    rig.submit(broken(rig, 60, kind))
    rig.run(600)
    assert rig.state is GuardState.STOPPED
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.CHUNKS_BROKEN
    assert is_at_rest(rig.commands[-1])
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)
    assert rig.engage() == []
    assert rig.submit(rig.chunk(steady(rig), 70)) is None
    rig.run(100)
    assert rig.state in (GuardState.RAMPING, GuardState.FOLLOWING)


def test_chunks_refused_for_when_they_came_say_nothing_about_the_policy(rig):
    for number in range(10):
        rig.submit(rig.chunk(steady(rig), 0))  # an old sequence number
        rig.submit(rig.chunk(steady(rig), 50 + number, age_ms=5000.0))
    rig.run(20)
    assert rig.state is GuardState.FOLLOWING


def test_broken_chunks_before_an_engage_stop_nothing():
    rig = GuardRig()
    for number in range(10):
        rig.submit(broken(rig, number, "nan"))
    assert rig.state is GuardState.IDLE
    assert rig.engage() == []


def test_what_was_commanded_before_a_pause_says_nothing_about_an_arm_that_sags_after_it(rig):
    rig.guard.stop("test")
    rig.run(2000)
    joint = np.eye(14)[0]
    by_hand = rig.measured + 0.6 * joint
    rig.measured = by_hand
    rig.clock.advance_ms(10)
    assert rig.engage() == []
    assert np.allclose(rig.run(50)[-1].positions, by_hand)

    def sag() -> None:
        rig.measured = by_hand - 0.3 * joint

    rig.run(230, sag)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.ARM_NOT_FOLLOWING


def test_after_an_engage_broken_chunks_of_before_do_not_count(rig):
    for number in range(rig.settings.broken_chunks_stop):
        rig.submit(rig.chunk(np.full((8, 14), np.nan), 500 + number))
    assert rig.state is GuardState.STOPPED
    rig.run(1000)
    assert rig.engage() == []
    rig.run(50)
    assert rig.status_text() == "holding: waiting for a chunk"


def test_messages_that_are_no_chunks_at_all_count_in_the_streak(rig):
    malformed = Finding(Fault.CHUNK_MALFORMED, "it has 13 joints")
    for _ in range(rig.settings.broken_chunks_stop):
        rig.guard.refuse(malformed)
    assert rig.guard.status(rig.clock.now_ns()).faults[Fault.CHUNK_MALFORMED] == 5
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.CHUNKS_BROKEN
