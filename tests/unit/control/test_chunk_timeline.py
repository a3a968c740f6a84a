from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.control.chunk_timeline import ChunkTimeline
from svam_ros.control.faults import Fault
from svam_ros.control.settings import GuardSettings
from svam_ros.types import ActionChunk

COBOT = load_cobot()
MS = 1_000_000
STEP = 40 * MS
ROS_TO_STEADY_NS = 7_000 * MS
START_NS = 100_000 * MS
"""Steady time of the first observation in every test."""
GRIPPERS = list(COBOT.gripper_indices)
MIDDLE = (COBOT.limits.lower + COBOT.limits.upper) / 2.0


def chunk(actions, observed_ns=START_NS, sequence=0, first_step=0, run_id="run") -> ActionChunk:
    return ActionChunk(
        np.asarray(actions), observed_ns - ROS_TO_STEADY_NS, first_step, 0.04, run_id, sequence
    )


def constant(offset, count=8):
    return np.tile(MIDDLE + offset, (count, 1))


def line(count=8, first=0, slope_per_step=0.01):
    return MIDDLE + slope_per_step * 0.5 * np.arange(first + 1, first + count + 1)[:, np.newaxis] * _share()


def _share():
    share = np.ones(14)
    share[GRIPPERS] = 0.05
    return share


@pytest.fixture
def timeline() -> ChunkTimeline:
    timeline = ChunkTimeline(COBOT, GuardSettings())
    timeline.open(0)
    return timeline


def accept(timeline, candidate, now_ns, committed_ns=None):
    return timeline.accept(
        candidate, ROS_TO_STEADY_NS, now_ns, now_ns if committed_ns is None else committed_ns
    )


def test_there_is_no_reference_before_the_first_chunk(timeline):
    assert timeline.reference(START_NS) is None
    assert ChunkTimeline(COBOT, GuardSettings()).reference(START_NS) is None


def test_a_chunk_that_was_taken_in_is_not_taken_again(timeline):
    once = chunk(constant(0.0), sequence=3)
    assert accept(timeline, once, START_NS) is None
    assert accept(timeline, once, START_NS).fault is Fault.CHUNK_OUT_OF_ORDER
    assert timeline.chunks_accepted == 1


def test_every_step_is_met_at_its_own_time(timeline):
    actions = line()
    assert accept(timeline, chunk(actions), START_NS) is None
    for index, row in enumerate(actions):
        reference = timeline.reference(START_NS + (index + 1) * STEP)
        assert np.allclose(reference.positions, row)
        assert reference.fresh
        assert reference.observed_ns == START_NS


def test_after_the_last_step_the_reference_rests_there_and_is_not_fresh(timeline):
    accept(timeline, chunk(line()), START_NS)
    last = timeline.reference(START_NS + 8 * STEP)
    assert last.fresh
    assert not last.velocities[:6].any()
    after = timeline.reference(START_NS + 8 * STEP + 1)
    assert not after.fresh
    assert np.array_equal(after.positions, line()[-1])
    assert not after.velocities.any()


def test_before_its_first_step_a_chunk_is_fresh_for_one_period_only(timeline):
    accept(timeline, chunk(line(), first_step=5), START_NS)
    assert not timeline.reference(START_NS + 5 * STEP).fresh
    assert timeline.reference(START_NS + 5 * STEP + 1).fresh


def test_velocities_are_the_slope_of_the_positions(timeline):
    random = np.random.default_rng(0)
    accept(timeline, chunk(MIDDLE + random.normal(scale=0.02, size=(8, 14)) * _share()), START_NS)
    for at_ns in range(START_NS + STEP, START_NS + 8 * STEP, 7 * MS):
        if (at_ns - START_NS) % STEP == 0:
            continue
        before, here, after = (timeline.reference(at_ns + shift) for shift in (-1000, 0, 1000))
        slope = (after.positions - before.positions) / 2e-6
        assert np.allclose(here.velocities, slope, atol=1e-4)


def test_grippers_stay_between_their_steps(timeline):
    actions = constant(0.0)
    actions[::2, GRIPPERS] = 0.0
    actions[1::2, GRIPPERS] = 0.07
    accept(timeline, chunk(actions), START_NS)
    samples = [timeline.reference(START_NS + STEP + shift * MS).positions[GRIPPERS] for shift in range(280)]
    assert np.min(samples) >= 0.0
    assert np.max(samples) <= 0.07


def test_steps_already_past_are_dropped(timeline):
    actions = constant(0.0)
    actions[:4] = MIDDLE + 0.5 * _share()
    now_ns = START_NS + 4 * STEP + 1
    assert accept(timeline, chunk(actions), now_ns) is None
    for at_ns in range(now_ns, START_NS + 9 * STEP, 5 * MS):
        assert np.abs(timeline.reference(at_ns).positions - MIDDLE).max() < 0.26


def test_a_chunk_wholly_past_is_late(timeline):
    accept(timeline, chunk(line()), START_NS)
    before = timeline.reference(START_NS + 8 * STEP)
    finding = accept(timeline, chunk(constant(0.02), START_NS + 1, 1), START_NS + 8 * STEP + 1)
    assert finding.fault is Fault.CHUNK_LATE
    assert np.array_equal(timeline.reference(START_NS + 8 * STEP).positions, before.positions)
    # It has not become the newest either.
    assert accept(timeline, chunk(line(), START_NS + 2, 1), START_NS + 2 * STEP) is None


def test_what_is_committed_is_not_late_by_the_clock_on_the_wall(timeline):
    finding = accept(timeline, chunk(line()), START_NS + 7 * STEP, committed_ns=START_NS + 8 * STEP)
    assert finding.fault is Fault.CHUNK_LATE


def test_the_newest_chunk_replaces_what_an_older_one_said(timeline):
    accept(timeline, chunk(constant(0.0)), START_NS)
    now_ns = START_NS + 100 * MS
    assert accept(timeline, chunk(constant(0.1 * _share()), START_NS + 60 * MS, 1), now_ns) is None
    assert np.allclose(timeline.reference(now_ns).positions, MIDDLE)
    for at_ns in range(now_ns + STEP, START_NS + 380 * MS, 5 * MS):
        assert np.allclose(timeline.reference(at_ns + STEP).positions, MIDDLE + 0.1 * _share(), atol=0.02)
    assert timeline.chunks_accepted == 2


def test_position_and_velocity_are_continuous_where_chunks_are_joined(timeline):
    accept(timeline, chunk(line()), START_NS)
    now_ns = START_NS + 133 * MS
    before = timeline.reference(now_ns)
    accept(timeline, chunk(line(first=1) + 0.05 * _share(), START_NS + 47 * MS, 1), now_ns)
    after = timeline.reference(now_ns)
    assert np.allclose(before.positions, after.positions)
    assert np.allclose(before.velocities[:6], after.velocities[:6])


@pytest.mark.parametrize("phase_ms", range(0, 40, 3))
def test_a_join_takes_at_least_half_a_step(timeline, phase_ms):
    """A shorter one would turn 20 mrad between two chunks into several rad/s."""
    accept(timeline, chunk(constant(0.0)), START_NS)
    now_ns = START_NS + 120 * MS + phase_ms * MS
    accept(timeline, chunk(constant(0.02 * _share()), START_NS + 80 * MS, 1), now_ns)
    speeds = [
        np.abs(timeline.reference(now_ns + shift * MS).velocities[:6]).max() for shift in range(0, 80, 1)
    ]
    assert max(speeds) <= 1.5 * 0.02 / 0.02 + 1e-9


def test_the_older_tail_holds_until_the_newer_chunk_begins(timeline):
    accept(timeline, chunk(constant(0.0)), START_NS)
    later = chunk(constant(0.1 * _share()), START_NS + 80 * MS, 1, first_step=4)
    assert accept(timeline, later, START_NS + 100 * MS) is None
    assert np.allclose(timeline.reference(START_NS + 240 * MS).positions, MIDDLE)
    assert timeline.reference(START_NS + 239 * MS).fresh
    assert np.allclose(timeline.reference(START_NS + 280 * MS).positions, MIDDLE + 0.1 * _share())


def test_a_gap_between_two_chunks_is_not_fresh(timeline):
    accept(timeline, chunk(constant(0.0)), START_NS)
    later = chunk(constant(0.1 * _share()), START_NS + 80 * MS, 1, first_step=9)
    assert accept(timeline, later, START_NS + 100 * MS) is None
    fresh = {t: timeline.reference(START_NS + t * MS).fresh for t in (110, 320, 321, 400, 440, 441, 480)}
    assert fresh == {110: True, 320: True, 321: False, 400: False, 440: False, 441: True, 480: True}
    # The older chunk's place has nothing to say about the way to the newer one.
    assert np.allclose(timeline.reference(START_NS + 441 * MS).positions, MIDDLE + 0.1 * _share())


@pytest.mark.parametrize(("gap_ms", "bridged"), [(0, True), (20, True), (21, False)])
def test_half_a_step_between_two_chunks_is_bridged(timeline, gap_ms, bridged):
    accept(timeline, chunk(line(8)), START_NS)
    later_ns = START_NS + 8 * STEP + gap_ms * MS
    # Made from an observation of its own, its first step is due a step and the gap after the end.
    assert accept(timeline, chunk(line(8, first=8), later_ns - 4 * STEP, 1, 4), later_ns - 2 * STEP) is None
    across = [timeline.reference(at) for at in range(START_NS + 7 * STEP, later_ns + 2 * STEP, MS)]
    assert all(reference.fresh for reference in across) is bridged
    if bridged:
        moved = np.diff([reference.positions[0] for reference in across])
        assert 0.0 < moved.min() <= moved.max() < 1.6 * 0.01 * 0.5 / 40, "it neither stops nor jumps"


def test_two_chunks_that_both_lie_ahead(timeline):
    accept(timeline, chunk(constant(0.0), first_step=8), START_NS)
    assert (
        accept(timeline, chunk(constant(0.1 * _share()), START_NS + 1, 1, first_step=2), START_NS + 2) is None
    )
    assert np.allclose(timeline.reference(START_NS + 5 * STEP).positions, MIDDLE + 0.1 * _share())
    assert not timeline.reference(START_NS + STEP).fresh


def test_steps_slightly_outside_the_limits_are_clamped_and_counted(timeline):
    actions = constant(0.0)
    actions[2, 0] = COBOT.limits.upper[0] + 0.05
    actions[3, 7] = COBOT.limits.lower[7] - 0.05
    assert accept(timeline, chunk(actions), START_NS) is None
    assert timeline.steps_clamped == 2
    assert timeline.reference(START_NS + 3 * STEP).positions[0] == pytest.approx(COBOT.limits.upper[0])


def test_open_and_close_forget_the_chunks(timeline):
    accept(timeline, chunk(line()), START_NS)
    timeline.open(START_NS)
    assert timeline.reference(START_NS + STEP) is None
    accept(timeline, chunk(line()), START_NS)
    timeline.close()
    assert timeline.reference(START_NS + STEP) is None
    assert accept(timeline, chunk(line(), START_NS + 1, 1), START_NS + 1).fault is Fault.CHUNK_BEFORE_ENGAGE


def test_memory_does_not_grow_with_the_number_of_chunks(timeline):
    for index in range(200):
        now_ns = START_NS + index * 10 * MS
        accept(timeline, chunk(line(), now_ns, index), now_ns)
    assert len(timeline._curve.times_ns) < 30
