"""A policy that falls silent is named at once, and its plan is played to the end all the same."""

from __future__ import annotations

from collections import Counter

import pytest
from support.guard_rig import GuardRig, feed, in_motion, is_at_rest, steady

from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardState
from svam_ros.control.policy_watch import PolicyWatch


@pytest.fixture
def rig() -> GuardRig:
    return GuardRig()


def counts(rig: GuardRig) -> dict[Fault, int]:
    return rig.guard.status(rig.clock.now_ns()).faults


def test_a_silence_counts_once_however_often_it_is_noticed():
    faults: Counter[Fault] = Counter()
    watch = PolicyWatch(faults)
    watch.heard("a1")
    assert watch.silence is None
    for _ in range(3):
        watch.missed("none for 80 ms")
    assert str(watch.silence) == "the policy gives no sign of life: run a1, none for 80 ms"
    assert faults == {Fault.POLICY_SILENT: 1}
    watch.heard("a1")
    assert watch.silence is None
    watch.missed("none for 80 ms")
    assert faults == {Fault.POLICY_SILENT: 2}


def test_who_gave_no_sign_or_took_leave_is_not_missed():
    faults: Counter[Fault] = Counter()
    watch = PolicyWatch(faults)
    watch.missed("none for 80 ms")
    watch.heard("a1")
    watch.heard("")
    watch.missed("none for 80 ms")
    assert watch.silence is None
    assert not faults


def test_the_plan_is_played_to_its_end_and_the_hold_names_the_silence(rig):
    in_motion(rig)
    rig.guard.policy.heard("a1")
    rig.guard.policy.missed("none for 80 ms")
    assert counts(rig)[Fault.POLICY_SILENT] == 1
    rig.run(50)
    assert rig.status_text() == "following: the policy gives no sign of life: run a1, none for 80 ms"
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.POLICY_SILENT
    commands = rig.run(2000)
    assert is_at_rest(commands[-1])
    assert rig.status_text() == "holding: the policy gives no sign of life: run a1, none for 80 ms"
    assert counts(rig)[Fault.POLICY_SILENT] == 1
    assert Fault.CHUNKS_EXHAUSTED not in counts(rig)


def test_a_policy_that_lives_again_is_followed_again(rig):
    in_motion(rig)
    rig.guard.policy.heard("a1")
    rig.guard.policy.missed("none for 80 ms")
    rig.run(2000)
    rig.guard.policy.heard("b2")
    rig.run(100)
    assert rig.status_text() == "holding: waiting for a chunk"
    rig.run(1000, feed(rig, steady(rig), first_sequence=10_000))
    assert rig.state is GuardState.FOLLOWING


def test_a_sign_that_came_late_moves_nothing(rig):
    """A false alarm: the process was not run for a moment, and its chunks go on."""
    in_motion(rig)
    rig.guard.policy.heard("a1")
    rig.guard.policy.missed("none for 80 ms")
    commands = rig.run(500, feed(rig, steady(rig, 0, 1.5), first_sequence=10_000))
    assert {command.state for command in commands} == {GuardState.FOLLOWING}
    assert commands[-1].fresh
