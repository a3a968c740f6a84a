"""When the policy looks, what it sends for which moments, and what it takes to be committed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.execution_runs import MS, settings
from svam_ros.control.chunk_schedule import OFF_THE_WAY_RAD, ChunkSchedule
from svam_ros.control.execution_mode import ExecutionMode
from svam_ros.types import Horizon

HORIZON = Horizon(16, 8, 6)


def line(first: float = 0.0) -> np.ndarray:
    """Two joints; step ``i`` is ``first + i`` hundredths."""
    return 0.01 * np.repeat((np.arange(16.0) + first)[:, None], 2, axis=1)


def schedule(mode: ExecutionMode, **changes: object) -> ChunkSchedule:
    return ChunkSchedule(settings(mode, HORIZON, **changes))


def test_aligned_sends_the_steps_that_are_not_past_when_they_arrive():
    placed = schedule(ExecutionMode.ALIGNED, lead_ms=10).place(line(), 0, 95 * MS, "lift")
    assert placed.first_step == 2  # due at 120 ms; those at 40 and 80 ms are past after 105 ms
    assert np.array_equal(placed.actions, line()[2:10])
    assert schedule(ExecutionMode.ALIGNED).place(line(), 0, 700 * MS, "lift") is None


@pytest.mark.parametrize("mode", [ExecutionMode.SYNC, ExecutionMode.APPEND])
def test_without_time_a_chunk_is_sent_from_its_beginning_behind_what_was_sent(mode):
    made = schedule(mode)
    first = made.place(line(), 0, 100 * MS, "lift")
    assert first.first_step == 3  # it takes from 120 to 160 ms
    assert np.array_equal(first.actions, line()[:8])
    # The first one ends at 440 ms; made from 330 ms on and there at 380 ms, the second begins behind it.
    second = made.place(line(50.0), 330 * MS, 50 * MS, "lift")
    assert second.first_step == 3  # due at 490 ms: the nearest to a step after the end
    assert np.array_equal(second.actions, line(50.0)[:8])
    # The third is there when the second has long ended: it begins at once.
    assert made.place(line(), 2000 * MS, 50 * MS, "lift").first_step == 2


@pytest.mark.parametrize(
    ("mode", "due_ms"),
    [
        (ExecutionMode.SYNC, 440),  # when the chunk, sent for 120 to 440 ms, is over
        (ExecutionMode.APPEND, 120),  # when its first step begins
        (ExecutionMode.ALIGNED, 143.5),  # four steps later, less half of a camera's period
    ],
)
def test_when_to_look_again(mode, due_ms):
    made = schedule(mode, replan_steps=4)
    assert made.may_look(5)
    made.begin(0, 0, np.zeros(2))
    made.place(line(), 0, 100 * MS, "lift")
    assert not made.may_look(round(due_ms * MS) - 1)
    assert made.may_look(round(due_ms * MS))


def test_steps_that_would_run_out_are_followed_up_earlier_than_usual():
    made = schedule(ExecutionMode.ALIGNED, replan_steps=60)
    made.begin(0, 0, np.zeros(2))
    made.place(line(), 0, 100 * MS, "lift")
    # The last step is due at 400 ms, a chunk takes 100 ms, one step is kept in hand: it is the frame
    # nearest to 260 ms.
    assert not made.may_look(243 * MS)
    assert made.may_look(244 * MS)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_a_clock_that_was_set_back_does_not_stop_it(mode):
    made = schedule(mode)
    made.begin(10**12, 0, np.zeros(2))
    made.place(line(), 10**12, 100 * MS, "lift")
    assert made.may_look(10**12 - 10**10)
    assert made.begin(10**12 - 10**10, 0, np.zeros(2)) is None
    assert made.place(line(), 10**12 - 10**10, 100 * MS, "lift").first_step in (2, 3)


def test_the_prefix_is_what_was_sent_for_the_time_until_the_chunk_arrives():
    made = schedule(ExecutionMode.PREFIX)
    assert made.begin(0, 20 * MS, np.zeros(2)) is None, "nothing was sent yet"
    made.place(line(), 0, 100 * MS, "lift")  # steps 2 to 9 are sent, due at 120 to 400 ms
    prefix = made.begin(180 * MS, 20 * MS, line()[3])
    # Two steps are past after 100 ms: those due at 220 and 260 ms, in the middle between two of the sent.
    assert np.allclose(prefix, [[0.045, 0.045], [0.055, 0.055]])
    made.place(line(4.5), 180 * MS, 300 * MS, "lift")
    late = made.begin(400 * MS, 20 * MS, line(4.5)[5])
    assert len(late) == 6, "after a slow pass seven steps would be committed, and six may be given"


def test_a_prefix_ends_with_what_was_sent():
    made = schedule(ExecutionMode.PREFIX)
    made.begin(0, 0, np.zeros(2))
    made.place(line(), 0, 300 * MS, "lift")  # steps 7 to 14, the last one due at 600 ms
    assert len(made.begin(520 * MS, 0, line()[12])) == 2
    assert made.begin(600 * MS, 0, line()[14]) is None


@pytest.mark.parametrize("mode", [ExecutionMode.ALIGNED, ExecutionMode.SYNC, ExecutionMode.APPEND])
def test_other_modes_have_no_prefix(mode):
    made = schedule(mode)
    made.place(line(), 0, 100 * MS, "lift")
    assert made.begin(180 * MS, 20 * MS, line()[3]) is None


def test_arms_that_are_elsewhere_are_not_following_so_nothing_is_committed_or_averaged():
    made = schedule(ExecutionMode.PREFIX, older_weight=0.5)
    made.place(line(), 0, 100 * MS, "lift")
    near = line()[3] + [OFF_THE_WAY_RAD - 0.01, 9.0]  # the second is a gripper
    assert made.begin(160 * MS, 20 * MS, near) is not None
    far = line()[3] + [OFF_THE_WAY_RAD + 0.01, 0.0]
    assert made.begin(160 * MS, 20 * MS, far) is None
    placed = made.place(line(9.0), 160 * MS, 100 * MS, "lift")
    assert np.array_equal(placed.actions, line(9.0)[2:10]), "the mean begins anew"


def test_the_latency_to_expect_is_the_slower_of_the_last_and_the_usual():
    made = schedule(ExecutionMode.ALIGNED, lead_ms=10)
    assert made.expected_latency_ns == 0
    for _ in range(50):
        made.place(line(), 0, 90 * MS, "lift")
    assert made.expected_latency_ns == 100 * MS
    made.place(line(), 0, 290 * MS, "lift")
    assert made.expected_latency_ns == 300 * MS
    made.place(line(), 0, 90 * MS, "lift")
    assert made.expected_latency_ns == 100 * MS
