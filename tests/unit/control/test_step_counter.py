from __future__ import annotations

from svam_ros.control.step_counter import StepCounter

STEP = 40


def run(counter, start, end, fresh):
    for due_ns in range(start, end, 10):
        counter.count(due_ns, fresh)


def test_a_second_on_a_fresh_path_is_25_steps():
    counter = StepCounter(STEP)
    run(counter, 0, 1000, True)
    assert (counter.executed, counter.stalled) == (25, 0)


def test_nothing_counts_before_the_first_fresh_step():
    counter = StepCounter(STEP)
    run(counter, 0, 1000, False)
    assert (counter.executed, counter.stalled) == (0, 0)


def test_a_gap_counts_as_stalled():
    counter = StepCounter(STEP)
    run(counter, 0, 400, True)
    run(counter, 400, 600, False)
    run(counter, 600, 1000, True)
    assert (counter.executed, counter.stalled) == (20, 5)


def test_periods_without_any_set_point_are_stalled():
    counter = StepCounter(STEP)
    counter.count(0, True)
    counter.count(200, True)
    assert (counter.executed, counter.stalled) == (2, 4)


def test_a_pause_counts_nothing():
    counter = StepCounter(STEP)
    run(counter, 0, 400, True)
    counter.pause()
    run(counter, 400, 800, False)
    run(counter, 805, 1005, True)
    assert (counter.executed, counter.stalled) == (15, 0)


def test_the_time_is_that_of_the_periods_so_a_rate_cannot_exceed_theirs():
    counter = StepCounter(40_000_000)
    for due_ms in (0, 10, 39, 40, 79, 80, 81):
        counter.count(due_ms * 1_000_000, True)
        assert counter.executed / counter.seconds == 25.0
    counter.count(400_000_000, False)
    assert counter.seconds == 0.44
    assert (counter.executed, counter.stalled) == (3, 8)
