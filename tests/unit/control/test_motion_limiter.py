from __future__ import annotations

import numpy as np
import pytest
from ruckig import Result, RuckigError

from svam_ros.cobot import load_cobot
from svam_ros.control import motion_limiter
from svam_ros.control.faults import Fault
from svam_ros.control.motion_limiter import MotionLimiter

PERIOD_S = 0.01
LIMITS = load_cobot().limits
MIDDLE = (LIMITS.lower + LIMITS.upper) / 2.0
STILL = np.zeros(14)


def limiter_at(start, period_s=PERIOD_S):
    return MotionLimiter(LIMITS, period_s, start)


def assert_allowed(states, period_s=PERIOD_S):
    """What a referee sees who only has the positions and velocities sent."""
    positions = np.array([state.positions for state in states])
    velocities = np.array([state.velocities for state in states])
    assert np.isfinite(positions).all()
    assert np.isfinite(velocities).all()
    assert (positions >= LIMITS.lower).all()
    assert (positions <= LIMITS.upper).all()
    speeds = np.diff(positions, axis=0) / period_s
    assert (np.abs(speeds) <= LIMITS.velocity * 1.001).all()
    for rates in (speeds, velocities):
        accelerations = np.diff(rates, axis=0) / period_s
        assert (np.abs(accelerations) <= LIMITS.acceleration * 1.02).all()
        assert (np.abs(np.diff(accelerations, axis=0) / period_s) <= LIMITS.jerk * 1.1).all()


def record(limiter, move, ticks):
    states = [limiter.state]
    for index in range(ticks):
        move(index)
        states.append(limiter.state)
    return states


def quintic(time_s, duration_s, way):
    s = min(time_s / duration_s, 1.0)
    position = way * s**3 * (10.0 - 15.0 * s + 6.0 * s * s)
    velocity = way / duration_s * 30.0 * s * s * (1.0 - s) ** 2
    return position, velocity


@pytest.mark.parametrize("rate_hz", [25, 100, 200])
@pytest.mark.parametrize(("way", "duration_s"), [(1.0, 2.0), (1.0, 1.4), (-1.5, 1.8)])
def test_a_smooth_reference_is_tracked_within_5_mrad(rate_hz, way, duration_s):
    limiter = limiter_at(MIDDLE, 1.0 / rate_hz)
    errors = []
    for tick in range(1, int((duration_s + 0.5) * rate_hz)):
        position, velocity = quintic(tick / rate_hz, duration_s, way)
        target = MIDDLE.copy()
        target[[0, 8]] += position
        velocities = STILL.copy()
        velocities[[0, 8]] = velocity
        assert limiter.track(target, velocities) is None
        errors.append(np.abs(limiter.state.positions - target).max())
    assert max(errors) < 0.005
    assert errors[-1] < 1e-6


def test_a_step_of_a_radian_is_made_without_overshoot_and_within_limits():
    limiter = limiter_at(MIDDLE)
    target = MIDDLE.copy()
    target[:6] += 1.0
    states = record(limiter, lambda _: limiter.track(target, STILL), 200)
    assert_allowed(states)
    positions = np.array([state.positions for state in states])
    assert np.allclose(positions[-1], np.clip(target, LIMITS.lower, LIMITS.upper), atol=1e-9)
    assert (positions <= np.clip(target, LIMITS.lower, LIMITS.upper) + 1e-9).all()


def test_arms_do_not_back_away_from_a_target_that_runs_ahead():
    """In its own frame a time-optimal planner would take a run-up to arrive at the target's speed."""
    limiter = limiter_at(MIDDLE)
    lowest = MIDDLE[0]
    for tick in range(1, 120):
        target, velocities = MIDDLE.copy(), STILL.copy()
        target[0] += 0.05 + 1.0 * tick * PERIOD_S
        velocities[0] = 1.0
        limiter.track(target, velocities)
        lowest = min(lowest, limiter.state.positions[0])
    assert lowest == MIDDLE[0]
    assert abs(limiter.state.positions[0] - target[0]) < 0.005


@pytest.mark.parametrize("start_offset", [-0.5, -0.2, 0.2, 0.5])
def test_a_lagging_joint_does_not_settle_in_opposite_phase(start_offset):
    start = MIDDLE.copy()
    start[0] += start_offset
    limiter = limiter_at(start)
    errors = []
    for tick in range(1, 800):
        phase = 4.0 * tick * PERIOD_S
        target, velocities = MIDDLE.copy(), STILL.copy()
        target[0] += 0.25 * np.sin(phase)
        velocities[0] = 1.0 * np.cos(phase)
        limiter.track(target, velocities)
        errors.append(abs(limiter.state.positions[0] - target[0]))
    assert max(errors[500:]) < 0.005


@pytest.mark.parametrize("speed", [0.5, 1.0, 1.5])
def test_a_lagging_joint_catches_up_with_a_steady_target(speed):
    start = MIDDLE.copy()
    start[0] = -2.5
    limiter = limiter_at(start)
    for tick in range(1, int(4.0 / speed / PERIOD_S)):
        target, velocities = MIDDLE.copy(), STILL.copy()
        target[0] = -2.0 + speed * tick * PERIOD_S
        velocities[0] = speed
        limiter.track(target, velocities)
    assert abs(limiter.state.positions[0] - target[0]) < 0.005


@pytest.mark.parametrize("seed", range(3))
def test_random_targets_never_break_a_limit(seed):
    random = np.random.default_rng(seed)
    limiter = limiter_at(MIDDLE)
    target, velocities = MIDDLE, STILL

    def move(tick):
        nonlocal target, velocities
        if tick % 17 == 0:
            target = random.uniform(LIMITS.lower - 0.5, LIMITS.upper + 0.5)
            velocities = random.normal(scale=random.choice([0.0, 1.0, 5.0]), size=14)
            limiter.limit_speed(float(random.choice([0.2, 1.0])))
        if tick % 50 > 45:
            limiter.brake()
        else:
            limiter.track(target + velocities * PERIOD_S * (tick % 17), velocities)

    assert_allowed(record(limiter, move, 1500))


@pytest.mark.parametrize("bound", ["lower", "upper"])
def test_a_target_that_runs_through_a_limit_is_followed_to_the_limit_and_no_further(bound):
    limit = getattr(LIMITS, bound)
    direction = -1.0 if bound == "lower" else 1.0
    limiter = limiter_at(MIDDLE)
    velocities = direction * LIMITS.velocity

    def move(tick):
        limiter.track(MIDDLE + velocities * tick * PERIOD_S, velocities)

    states = record(limiter, move, 300)
    assert_allowed(states)
    assert np.allclose(states[-1].positions, limit, atol=1e-6)
    assert np.abs(states[-1].velocities).max() < 1e-6


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["positions", "velocities"])
def test_a_target_that_is_not_finite_makes_the_arms_brake(poison, where):
    limiter = limiter_at(MIDDLE)
    for _ in range(30):
        limiter.track(LIMITS.upper, STILL)
    row = MIDDLE.copy()
    row[3] = poison
    target = (row, STILL) if where == "positions" else (MIDDLE, row)
    states = [limiter.state]
    for _ in range(70):
        assert limiter.track(*target) is Fault.TARGET_NOT_FINITE
        states.append(limiter.state)
    assert_allowed(states)
    assert limiter.at_rest


def test_braking_from_full_speed_ends_at_rest_and_stays():
    limiter = limiter_at(LIMITS.lower)
    for _ in range(60):
        limiter.track(LIMITS.upper, STILL)
    assert np.abs(limiter.state.velocities[0]) > 1.9
    states = record(limiter, lambda _: limiter.brake(), 60)
    assert_allowed(states)
    assert limiter.at_rest
    resting = limiter.state.positions
    limiter.brake()
    assert np.array_equal(limiter.state.positions, resting)


def test_speed_is_limited_while_ramping_but_braking_is_not():
    limiter = limiter_at(MIDDLE)
    limiter.limit_speed(0.2)
    states = record(limiter, lambda _: limiter.track(LIMITS.upper, STILL), 100)
    speeds = np.abs(np.array([state.velocities for state in states]))
    assert (speeds <= 0.2 * LIMITS.velocity * 1.001).all()
    assert speeds[-1, 0] == pytest.approx(0.4)
    with pytest.raises(ValueError, match="speed fraction is 0"):
        limiter.limit_speed(0.0)


def test_lowering_the_speed_in_motion_keeps_to_the_acceleration_limits():
    limiter = limiter_at(LIMITS.lower)
    states = record(limiter, lambda _: limiter.track(LIMITS.upper, STILL), 60)
    limiter.limit_speed(0.2)
    states += record(limiter, lambda _: limiter.track(LIMITS.upper, STILL), 60)[1:]
    assert_allowed(states)
    assert abs(states[-1].velocities[0]) <= 0.4 * 1.001


def test_a_start_outside_the_limits_is_clamped():
    assert np.array_equal(limiter_at(LIMITS.lower - 0.03).state.positions, LIMITS.lower)


class BrokenRuckig:
    """Stands for a planner that fails on numbers; ``answer`` is returned, or raised if it is an exception."""

    answer: object = Result.Error

    def __init__(self, *_):
        pass

    def update(self, *_):
        if self.answer is RuckigError:
            raise RuckigError("numbers")
        return self.answer

    calculate = update


@pytest.mark.parametrize("answer", [Result.ErrorInvalidInput, RuckigError])
@pytest.mark.parametrize("planner", ["_interceptor", "_braker"])
def test_where_ruckig_fails_the_arms_brake_on_the_way_that_was_proved(monkeypatch, answer, planner):
    limiter = limiter_at(LIMITS.lower)
    states = record(limiter, lambda _: limiter.track(LIMITS.upper, STILL), 60)
    monkeypatch.setattr(BrokenRuckig, "answer", answer)
    monkeypatch.setattr(limiter, planner, BrokenRuckig())
    for _ in range(60):
        assert limiter.track(LIMITS.upper, STILL) is Fault.MOTION_NOT_COMPUTABLE
        states.append(limiter.state)
    assert_allowed(states)
    assert limiter.at_rest


def test_a_result_that_is_not_finite_is_not_taken(monkeypatch):
    limiter = limiter_at(MIDDLE)

    class NotFinite:
        new_position = (float("nan"),) * 14
        new_velocity = new_acceleration = (0.0,) * 14

    monkeypatch.setattr(BrokenRuckig, "answer", Result.Working)
    monkeypatch.setattr(limiter, "_interceptor", BrokenRuckig())
    monkeypatch.setattr(limiter, "_interception", NotFinite())
    assert limiter.track(LIMITS.upper, STILL) is Fault.MOTION_NOT_COMPUTABLE
    assert np.array_equal(limiter.state.positions, MIDDLE)


def test_settling_goes_to_a_place_at_full_speed_and_says_when_it_is_there():
    limiter = limiter_at(MIDDLE)
    limiter.limit_speed(0.1)
    place = MIDDLE + 0.5 * (np.arange(14) == 0)
    speeds = []
    for _ in range(200):
        arrives = limiter.settle(place)
        speeds.append(limiter.state.velocities[0])
        if arrives:
            break
    assert abs(limiter.state.positions[0] - place[0]) < 1e-3
    assert max(speeds) > 0.3 * LIMITS.velocity[0]
    assert arrives


@pytest.mark.parametrize("rate_hz", [25, 100, 200])
def test_settling_turns_back_wherever_in_a_swing_it_begins(rate_hz):
    """A joint that turns stands for an instant: the way was taken for done there, 1 to 6 times in 100."""
    limiter = limiter_at(MIDDLE, 1.0 / rate_hz)
    swinging = np.arange(14) % 7 == 0
    for phase in np.linspace(0.0, 2.0 * np.pi, 200, endpoint=False):
        limiter.restart(MIDDLE + 0.4 * np.sin(phase) * swinging)
        for tick in range(1, rate_hz + 1):
            angle = phase + 2.5 * tick / rate_hz
            limiter.track(MIDDLE + 0.4 * np.sin(angle) * swinging, np.cos(angle) * swinging)
        place = limiter.state.positions.copy()
        place[0] -= 0.3 * np.copysign(1.0, limiter.state.velocities[0])
        assert_arrives(limiter, place, ticks=2 * rate_hz)


@pytest.mark.parametrize("beyond_rad", [1e-3, 0.1])
def test_settling_at_a_place_outside_the_limits_ends_at_them(beyond_rad):
    """Joints are measured a little beyond their limits now and then."""
    limiter = limiter_at(MIDDLE)
    place = MIDDLE.copy()
    place[0] = LIMITS.upper[0] + beyond_rad
    assert_arrives(limiter, place, ticks=400)


def assert_arrives(limiter, place, ticks):
    way_is_over = any(limiter.settle(place) for _ in range(ticks))
    assert way_is_over
    while not limiter.at_rest:
        limiter.brake()
    assert limiter.state.positions == pytest.approx(np.clip(place, LIMITS.lower, LIMITS.upper), abs=2e-3)


def test_settling_ends_where_the_way_cannot_be_computed(monkeypatch):
    limiter = limiter_at(MIDDLE)
    monkeypatch.setattr(limiter, "_interceptor", BrokenRuckig())
    assert limiter.settle(MIDDLE + 0.5)
    assert np.array_equal(limiter.state.positions, MIDDLE)


def test_where_the_way_to_rest_of_a_changed_step_is_not_found_the_proved_one_is_taken(monkeypatch):
    """A joint that would run through its limit brakes; if ruckig then fails for all, all of them do."""
    limiter = limiter_at(MIDDLE)
    target, speed = LIMITS.upper + 0.5, STILL
    monkeypatch.setattr(MotionLimiter, "_reachable", lambda _self, positions, speeds: (positions, speeds))
    sound, asked, changed = motion_limiter._succeeds, [], []
    candidates = MotionLimiter._with_braking_joints

    def changing(self, candidate, braking):
        changed.append(self)
        asked.clear()
        return candidates(self, candidate, braking)

    def failing(compute, *arguments):
        asked.append(compute)
        return not (changed and len(asked) == 1) and sound(compute, *arguments)

    for _ in range(400):
        with monkeypatch.context() as patch:
            patch.setattr(MotionLimiter, "_with_braking_joints", changing)
            patch.setattr(motion_limiter, "_succeeds", failing)
            before = limiter.way_to_rest(PERIOD_S)
            fault = limiter.track(target, speed)
        if changed:
            break
    assert fault is Fault.MOTION_NOT_COMPUTABLE
    assert np.allclose(limiter.state.positions, before.positions[0], atol=1e-12)
    assert np.allclose(limiter.way_to_rest(PERIOD_S).positions[0], before.positions[1], atol=1e-9)
