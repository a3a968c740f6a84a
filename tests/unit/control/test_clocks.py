from __future__ import annotations

import pytest
from support.fake_clock import FakeClock

from svam_ros.control.clocks import SteadyClock, TickClock

MS = 1_000_000


@pytest.fixture
def clock() -> TickClock:
    clock = TickClock(10 * MS, catch_up_periods=2, restart_after_ns=200 * MS)
    clock.start(0)
    return clock


def test_the_fake_clock_is_a_steady_clock():
    clock: SteadyClock = FakeClock(5)
    assert clock.now_ns() == 5


def test_punctual_wake_ups_owe_one_set_point_each(clock):
    assert [clock.advance(t * MS).due_ns for t in (10, 20, 30)] == [(10 * MS,), (20 * MS,), (30 * MS,)]


def test_jitter_of_a_timer_does_not_reach_the_set_points(clock):
    wake_ups_ms = (9.4, 20.9, 29.2, 40.8, 50.0)
    dues = [clock.advance(round(t * MS)) for t in wake_ups_ms]
    assert [due.due_ns for due in dues] == [(t * MS,) for t in (10, 20, 30, 40, 50)]
    assert not any(due.late for due in dues)


def test_a_late_wake_up_catches_up_two_periods_at_a_time(clock):
    assert clock.advance(50 * MS).due_ns == (10 * MS, 20 * MS)
    assert clock.advance(60 * MS).due_ns == (30 * MS, 40 * MS)
    assert clock.advance(70 * MS).due_ns == (50 * MS, 60 * MS)
    due = clock.advance(80 * MS)
    assert due.due_ns == (70 * MS, 80 * MS)
    assert due.late
    due = clock.advance(90 * MS)
    assert due.due_ns == (90 * MS,)
    assert not due.late


def test_a_wake_up_too_late_to_catch_up_begins_anew_at_the_present(clock):
    due = clock.advance(211 * MS)
    assert due.restarted
    assert due.due_ns == (211 * MS,)
    assert clock.advance(221 * MS).due_ns == (221 * MS,)


def test_the_longest_delay_that_is_caught_up(clock):
    assert not clock.advance(210 * MS).restarted


def test_waking_up_too_often_owes_nothing(clock):
    clock.advance(10 * MS)
    assert clock.advance(10 * MS).due_ns == (20 * MS,)
    assert clock.advance(11 * MS - 2 * MS).due_ns == ()
    assert clock.last_due_ns == 20 * MS
