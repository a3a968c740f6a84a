"""Whatever comes in, in whatever order and however late: what goes out obeys, and ends at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.guard_rig import STEP_MS, GuardRig, assert_within_limits, is_at_rest

from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardSettings, GuardState

QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
LONGEST_BRAKING_MS = 600
"""From full speed with full acceleration: 50 ms to turn the acceleration, 450 ms to stop, some to spare."""
MAX_FIRST_STEP = 10


@dataclass(frozen=True)
class Event:
    """One thing that happens, and how long the guard runs before the next."""

    kind: str
    wait_ms: float
    seed: int
    age_ms: float = 0.0


CHUNK_KINDS = (
    "near",
    "anywhere",
    "far step",
    "not finite",
    "huge",
    "wrong shape",
    "empty",
    "again",
    "shuffled",
    "other run",
    "other rate",
)
OTHER_KINDS = ("stop", "hold", "engage", "joint states stop", "joint states return", "bad joints", "sleep")

events = st.builds(
    Event,
    kind=st.sampled_from(CHUNK_KINDS * 2 + OTHER_KINDS + ("near",) * 15),
    wait_ms=st.floats(0.0, 250.0),
    seed=st.integers(0, 2**32 - 1),
    age_ms=st.one_of(st.floats(0.0, 300.0), st.floats(-100.0, 2000.0)),
)


class Storm:
    """Plays events on a rig."""

    def __init__(self, tick_rate_hz: float = 100.0) -> None:
        self.rig = GuardRig(GuardSettings(tick_rate_hz=tick_rate_hz))
        self._sequence = 0
        self._sent: list = []
        self._delay_ms = 0.0

    def play(self, event: Event) -> None:
        random = np.random.default_rng(event.seed)
        if event.kind in CHUNK_KINDS:
            self._submit(event, random)
        elif event.kind == "stop":
            self.rig.guard.stop("storm")
        elif event.kind == "hold":
            self.rig.guard.hold()
        elif event.kind == "engage":
            self.rig.guard.engage(self.rig.clock.now_ns())
        elif event.kind.startswith("joint states"):
            self.rig.joint_states_arrive = event.kind.endswith("return")
        elif event.kind == "bad joints":
            good, self.rig.measured = self.rig.measured, np.full(14, random.choice([np.nan, np.inf]))
            self.rig.observe()
            self.rig.measured = good
        elif event.kind == "sleep":
            self._delay_ms = float(random.uniform(5.0, 500.0))
        self.rig.run(event.wait_ms, delays_ms=[self._delay_ms])
        self._delay_ms = 0.0

    def _submit(self, event: Event, random: np.random.Generator) -> None:
        self._sequence += 1
        limits, here = self.rig.cobot.limits, self.rig.measured
        slope = (
            random.normal(scale=random.choice([0.0, 0.005, 0.03]), size=14)
            * (limits.upper - limits.lower)
            / 3.0
        )
        actions = np.clip(here + np.arange(1, 9)[:, np.newaxis] * slope, limits.lower, limits.upper)
        fields: dict[str, object] = {"first_step": int(random.integers(0, MAX_FIRST_STEP))}
        if event.kind == "anywhere":
            actions = random.uniform(limits.lower - 0.02, limits.upper + 0.02, size=(8, 14))
        elif event.kind == "far step":
            actions = np.tile(
                np.clip(here + random.choice([-1.0, 1.0], size=14), limits.lower, limits.upper), (8, 1)
            )
        elif event.kind == "not finite":
            actions[random.integers(8), random.integers(14)] = random.choice([np.nan, np.inf, -np.inf])
        elif event.kind == "huge":
            actions = actions * 10.0 ** random.integers(2, 300)
        elif event.kind == "wrong shape":
            actions = actions[:, : random.integers(0, 14)]
        elif event.kind == "empty":
            actions = actions[:0]
        elif event.kind == "other run":
            fields["run_id"] = f"run {random.integers(3)}"
        elif event.kind == "other rate":
            fields["step_s"] = float(random.choice([0.0, 0.02, np.nan]))
        chunk = self.rig.chunk(actions, self._sequence, event.age_ms, **fields)
        if event.kind in ("again", "shuffled") and self._sent:
            chunk = self._sent[-1 if event.kind == "again" else random.integers(len(self._sent))]
        self._sent.append(chunk)
        self.rig.submit(chunk)


def stopped_stretches(commands):
    stretch: list = []
    for command in commands:
        if command.state is GuardState.STOPPED:
            stretch.append(command)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


@QUICK
@given(st.lists(events, min_size=1, max_size=14), st.sampled_from([25.0, 60.0, 100.0, 200.0]))
def test_everything_sent_obeys_the_limits_and_ends_at_rest(happenings, tick_rate_hz):
    storm = Storm(tick_rate_hz)
    rig = storm.rig
    assert rig.engage() == []
    for event in happenings:
        storm.play(event)
    rig.run((MAX_FIRST_STEP + 8) * STEP_MS + LONGEST_BRAKING_MS)
    assert is_at_rest(rig.commands[-1])
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)
    for stretch in stopped_stretches(rig.commands):
        begun_ns = stretch[0].due_ns
        resting = [c for c in stretch if c.due_ns > begun_ns + LONGEST_BRAKING_MS * 1e6]
        assert all(is_at_rest(c) and np.array_equal(c.positions, resting[0].positions) for c in resting)
    for command in rig.commands:
        assert command.fresh == (command.state in (GuardState.RAMPING, GuardState.FOLLOWING))


@QUICK
@given(
    st.lists(events.filter(lambda event: event.kind in CHUNK_KINDS), min_size=1, max_size=8),
    st.lists(events.filter(lambda event: event.kind != "engage"), min_size=1, max_size=8),
)
def test_after_a_stop_nothing_but_an_engage_moves_the_arms(before, after):
    storm = Storm()
    rig = storm.rig
    assert rig.engage() == []
    for event in before:
        storm.play(event)
    rig.guard.stop("test")
    rig.run(LONGEST_BRAKING_MS)
    assert is_at_rest(rig.commands[-1])
    resting = rig.commands[-1].positions
    first = len(rig.commands)
    for event in after:
        storm.play(event)
    assert all(np.array_equal(c.positions, resting) and is_at_rest(c) for c in rig.commands[first:])
    assert rig.state is GuardState.STOPPED


@QUICK
@given(st.integers(0, 7), st.floats(1.0, 39.0), st.integers(0, 13), st.sampled_from([-1.0, 1.0]))
def test_steps_already_past_are_never_executed(past, remainder_ms, joint, direction):
    """Past steps ask for a place far away; steps to come ask for where the arms are."""
    rig = GuardRig()
    rig.measured = (rig.cobot.limits.lower + rig.cobot.limits.upper) / 2.0
    assert rig.engage() == []
    rig.run(400)
    actions = np.tile(rig.measured, (8, 1))
    actions[:past, joint] += direction * (0.03 if joint in rig.cobot.gripper_indices else 0.5)
    start = rig.measured.copy()
    rig.submit(rig.chunk(actions, 0, age_ms=past * STEP_MS + remainder_ms))
    positions = np.array([command.positions for command in rig.run(8 * STEP_MS)])
    # The slope towards a past step is still that of the step after it, for one period.
    assert np.abs(positions - start).max() < 0.02
    rig.run(LONGEST_BRAKING_MS)
    assert is_at_rest(rig.commands[-1])


@QUICK
@given(st.floats(321.0, 799.0), st.integers(0, 2**32 - 1))
def test_a_chunk_wholly_past_moves_nothing(age_ms, seed):
    rig = GuardRig()
    assert rig.engage() == []
    rig.run(age_ms + 1.0)
    limits = rig.cobot.limits
    actions = np.random.default_rng(seed).uniform(limits.lower, limits.upper, size=(8, 14))
    start = rig.measured
    assert rig.submit(rig.chunk(actions, 0, age_ms)).fault is Fault.CHUNK_LATE
    assert all(np.array_equal(command.positions, start) for command in rig.run(500))


class SmoothPolicy:
    """Predicts a smooth path without error; its chunks come 100 ms after their observations."""

    LATENCY_MS = 100.0
    FIRST_STEP = 2

    def __init__(self, rig: GuardRig, seed: int, angular_rate: float) -> None:
        self._rig = rig
        self._random = np.random.default_rng(seed)
        limits = rig.cobot.limits
        self._middle = (limits.lower + limits.upper) / 2.0
        self._swing = np.minimum(0.4, 0.4 * (limits.upper - limits.lower)) * self._random.uniform(
            0.3, 1.0, 14
        )
        self._rate = angular_rate * self._random.uniform(0.7, 1.0, 14)
        self._start_ns = rig.clock.now_ns()
        self._next_observation_ns = self._start_ns
        self._pending: list = []
        self._sequence = 0
        self.alive = True

    def path(self, steady_ns):
        elapsed_s = (np.asarray(steady_ns, dtype=np.float64) - self._start_ns)[..., np.newaxis] / 1e9
        return self._middle - self._swing * np.cos(self._rate * elapsed_s)

    def __call__(self):
        rig, now_ns = self._rig, self._rig.clock.now_ns()
        while self._pending and self._pending[0][0] <= now_ns:
            assert rig.submit(self._pending.pop(0)[1]) is None
        if now_ns >= self._next_observation_ns and self.alive:
            steps = np.arange(self.FIRST_STEP, self.FIRST_STEP + 8) + 1
            actions = self.path(now_ns + steps * round(STEP_MS * 1e6))
            chunk = rig.chunk(actions, self._sequence, first_step=self.FIRST_STEP)
            self._pending.append((now_ns + self.LATENCY_MS * 1e6, chunk))
            self._sequence += 1
            self._next_observation_ns = now_ns + round(self._random.uniform(200.0, 260.0) * 1e6)


def following(seed: int, angular_rate: float = 1.0) -> tuple[GuardRig, SmoothPolicy]:
    rig = GuardRig()
    policy = SmoothPolicy(rig, seed, angular_rate)
    rig.measured = policy.path(policy._start_ns)
    assert rig.engage() == []
    return rig, policy


@settings(QUICK, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 2.0))
def test_an_undisturbed_run_is_25_hz_without_a_stall(seed, angular_rate):
    rig, policy = following(seed, angular_rate)
    rig.run(1000, policy)
    before = rig.guard.status(rig.clock.now_ns())
    commands = rig.run(4000, policy)
    status = rig.guard.status(rig.clock.now_ns())
    assert status.steps_executed - before.steps_executed == 100
    assert status.steps_stalled == 0
    assert status.faults == {}
    errors = [np.abs(command.positions - policy.path(command.due_ns)).max() for command in commands]
    assert max(errors) < 0.005
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)


@settings(QUICK, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(500.0, 2500.0))
def test_when_the_policy_dies_the_arms_come_to_rest_when_its_chunks_end(seed, death_ms):
    rig, policy = following(seed, 2.0)
    rig.run(death_ms, policy)
    policy.alive = False
    policy._pending.clear()
    chunks_end_ms = (SmoothPolicy.FIRST_STEP + 8) * STEP_MS
    commands = rig.run(chunks_end_ms + 350.0)
    assert is_at_rest(commands[-1])
    assert commands[-1].state is GuardState.HOLDING
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)


@settings(QUICK, max_examples=20)
@given(st.lists(st.floats(0.0, 195.0), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_wake_ups_at_odd_times_leave_set_points_evenly_spaced(delays_ms, seed):
    rig, policy = following(seed, 2.0)
    rig.run(1000, policy)
    rig.run(2000, policy, delays_ms=delays_ms)
    due_ns = np.array([command.due_ns for command in rig.commands])
    period_ns = rig.settings.tick_period_ns
    joined = np.diff(due_ns)[np.diff(due_ns) <= 2 * period_ns]
    assert (joined % period_ns == 0).all()
    assert_within_limits(rig.commands, rig.cobot.limits, period_ns)
