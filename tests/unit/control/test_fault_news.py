"""A fault is named at once, then once a second; counters need no message of their own."""

from __future__ import annotations

from collections import Counter

from svam_ros.control.fault_news import PERIOD_NS, FaultNews
from svam_ros.control.faults import Fault

TICK_NS = 10_000_000


def messages(fault_at, found_at, ticks: int) -> list[tuple[int, tuple[Fault, ...]]]:
    """Ticks at which something is said, and what was found until then.

    Args:
        fault_at: gives the fault that stands at a tick.
        found_at: gives the faults found at a tick.
        ticks: how many.
    """
    news, counts, said = FaultNews(), Counter(), []
    for tick in range(ticks):
        counts.update(found_at(tick))
        if news.due(fault_at(tick), counts, tick * TICK_NS):
            said.append((tick, news.say(fault_at(tick), counts, tick * TICK_NS)))
    return said


def test_without_news_it_speaks_once_a_second():
    assert messages(lambda _: None, lambda _: [], 250) == [(0, ()), (100, ()), (200, ())]
    assert PERIOD_NS == 100 * TICK_NS


def test_a_fault_that_begins_or_ends_is_said_at_once():
    said = messages(lambda tick: Fault.ARM_NOT_FOLLOWING if 30 <= tick < 55 else None, lambda _: [], 70)
    assert [tick for tick, _ in said] == [0, 30, 55]


def test_a_storm_of_one_fault_is_named_once_a_second_and_another_fault_at_once():
    def found(tick: int) -> list[Fault]:
        storm = [Fault.CHUNK_NOT_FINITE] * 100 if tick >= 10 else []
        return storm + ([Fault.CHUNK_LATE] if tick == 40 else [])

    said = messages(lambda _: None, found, 120)
    assert [tick for tick, _ in said] == [0, 10, 40, 110]
    assert said[1][1] == (Fault.CHUNK_NOT_FINITE,)
    assert said[2][1] == (Fault.CHUNK_LATE,)


def test_a_fault_that_stands_is_not_named_again_for_being_counted():
    def found(tick: int) -> list[Fault]:
        return [Fault.CAMERA_SLOW] if tick in (12, 14) else []

    said = messages(lambda tick: Fault.CAMERA_SLOW if tick >= 10 else None, found, 110)
    assert [tick for tick, _ in said] == [0, 10]


def test_a_fault_that_was_found_once_is_named_once():
    said = messages(lambda _: None, lambda tick: [Fault.CHUNK_LATE] if tick == 7 else [], 300)
    assert [found for _, found in said].count((Fault.CHUNK_LATE,)) == 1
    assert said[1] == (7, (Fault.CHUNK_LATE,))
