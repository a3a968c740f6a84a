import numpy as np
import pytest
from support.guard_rig import GuardRig

from svam_ros.cobot import load_cobot
from svam_ros.control.plan_clock import FASTEST_SLEW, PlanClock
from svam_ros.profiling.motion_audit import arm_limits, audit_commands, worst_of
from svam_ros.profiling.verdicts import STAMP_SLEW

LIMITS = arm_limits(load_cobot().limits, slice(0, 7))
PERIOD_NS = 10_000_000


def stream(seconds: float = 2.0, speed: float = 0.0, joint: int = 0):
    """Set-points at 100 Hz; one joint moves at a constant speed."""
    count = round(seconds * 1e9 / PERIOD_NS)
    stamps = 1_900_000_000_000_000_000 + np.arange(count, dtype=np.int64) * PERIOD_NS
    positions = np.tile([0.0, 1.0, -1.0, 0.0, 0.6, 0.0, 0.03], (count, 1))
    positions[:, joint] += speed * np.arange(count) * PERIOD_NS / 1e9
    return stamps, positions


def test_a_constant_speed_is_its_share_of_the_limit():
    audit = audit_commands(*stream(speed=1.0), LIMITS)
    assert audit.max_velocity_ratio == pytest.approx(1.0 / LIMITS.velocity[0])
    assert audit.max_acceleration_ratio == pytest.approx(0.0, abs=1e-6)
    assert (audit.breaks, audit.non_finite, audit.max_limit_excess) == (0, 0, 0.0)


def test_a_parabola_has_its_acceleration_also_where_a_set_point_was_lost():
    stamps, positions = stream()
    time_s = (stamps - stamps[0]) / 1e9
    positions[:, 3] = 0.5 * 0.8 * time_s**2
    keep = np.arange(len(stamps)) % 7 != 3
    for rows in (slice(None), keep):
        audit = audit_commands(stamps[rows], positions[rows], LIMITS)
        assert audit.max_acceleration_ratio == pytest.approx(0.8 / LIMITS.acceleration[3], rel=1e-6)


def test_a_cubic_has_its_jerk_also_where_a_set_point_was_lost():
    stamps, positions = stream()
    time_s = (stamps - stamps[0]) / 1e9
    positions[:, 4] = 2.0 / 6 * time_s**3
    keep = np.arange(len(stamps)) % 7 != 3
    for rows in (slice(None), keep):
        audit = audit_commands(stamps[rows], positions[rows], LIMITS)
        assert audit.max_jerk_ratio == pytest.approx(2.0 / LIMITS.jerk[4], rel=1e-4)


def test_rounded_stamps_do_not_show_as_jerk():
    stamps, positions = stream(speed=2.0)
    rng = np.random.default_rng(0)
    audit = audit_commands(stamps + rng.integers(-1, 2, len(stamps)), positions, LIMITS)
    assert audit.max_jerk_ratio < 1e-3


def test_ros_time_that_is_led_after_steady_time_does_not_show_as_jerk():
    """As after the system's clock was set 40 ms ahead, in cycles of a loaded machine."""
    rng = np.random.default_rng(0)
    clock, now_ns, seconds = PlanClock(0, 0), 0, []
    stamps, positions = stream(seconds=4.0)
    for number, stamp in enumerate(stamps):
        now_ns = number * PERIOD_NS + int(rng.integers(0, 8_000_000))
        clock.follow(now_ns, now_ns + (40_000_000 if number > 100 else 0))
        seconds.append(stamp + clock.steady_to_ros_ns)
    led = np.array(seconds, dtype=np.int64)
    assert np.ptp(led - stamps) > 1_000_000
    assert np.ptp(np.diff(led)) > 1_000
    positions[:, 0] += 1.5 * np.sin(2.0 * (stamps - stamps[0]) / 1e9)
    planned, told = (audit_commands(times, positions, LIMITS) for times in (stamps, led))
    assert told.breaks == 0
    assert told.max_jerk_ratio == pytest.approx(planned.max_jerk_ratio, rel=4e-3)
    assert told.max_acceleration_ratio == pytest.approx(planned.max_acceleration_ratio, rel=3e-3)
    assert told.max_velocity_ratio == pytest.approx(planned.max_velocity_ratio, rel=2e-3)


def test_what_verdicts_forgive_is_what_the_plan_clock_may_do():
    assert STAMP_SLEW == FASTEST_SLEW


def test_the_guards_motion_keeps_the_jerk_limit():
    rig = GuardRig()
    assert rig.engage() == []
    rng = np.random.default_rng(1)
    for sequence in range(1, 12):
        target = rig.cobot.home + rng.uniform(-0.5, 0.5, 14)
        rig.submit(
            rig.chunk(
                np.tile(np.clip(target, rig.cobot.limits.lower, rig.cobot.limits.upper), (8, 1)), sequence
            )
        )
        rig.run(320.0)
    stamps = np.array([command.due_ns for command in rig.commands], dtype=np.int64)
    positions = np.array([command.positions for command in rig.commands])
    audit = audit_commands(stamps, positions, rig.cobot.limits)
    assert 0.5 < audit.max_jerk_ratio <= 1.0 + 1e-6


def test_the_worst_joint_counts_the_gripper_in_its_own_unit():
    audit = audit_commands(*stream(seconds=0.1, speed=0.2, joint=6), LIMITS)
    assert audit.max_velocity_ratio == pytest.approx(0.2 / LIMITS.velocity[6])


def test_a_single_jump_is_found():
    stamps, positions = stream()
    positions[100:, 2] += 0.5
    audit = audit_commands(stamps, positions, LIMITS)
    assert audit.max_velocity_ratio == pytest.approx(0.5 / 0.01 / LIMITS.velocity[2])
    assert audit.max_acceleration_ratio > 100


@pytest.mark.parametrize(
    ("shift_ns", "why"),
    [
        (400_000_000, "a pause"),
        (4_000_000, "a clock moved by part of a period"),
        (-30_000_000, "a step back"),
    ],
)
def test_a_pause_or_a_moved_clock_is_not_differenced_but_its_jump_is_shown(shift_ns, why):
    stamps, positions = stream()
    stamps[100:] += shift_ns
    positions[100:, 0] += 0.3
    audit = audit_commands(stamps, positions, LIMITS)
    assert audit.breaks == 1, why
    assert audit.max_velocity_ratio == pytest.approx(0.0)
    allowed_s = max(0.01 + shift_ns / 1e9, 0.01)
    assert audit.max_break_ratio == pytest.approx(0.3 / (allowed_s * LIMITS.velocity[0]))


def test_positions_outside_their_limits_are_measured():
    stamps, positions = stream()
    positions[50, 1] = LIMITS.lower[1] - 0.02
    positions[60, 6] = LIMITS.upper[6] + 0.005
    assert audit_commands(stamps, positions, LIMITS).max_limit_excess == pytest.approx(0.02)


def test_numbers_that_are_not_finite_are_counted_and_spoil_nothing_else():
    stamps, positions = stream(speed=0.5)
    positions[40, 0], positions[41, 2] = np.nan, np.inf
    audit = audit_commands(stamps, positions, LIMITS)
    assert audit.non_finite == 2
    assert audit.max_velocity_ratio == pytest.approx(0.25)
    assert audit.set_points == len(stamps)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_set_points_have_no_ratios(count):
    stamps, positions = stream(speed=0.5)
    audit = audit_commands(stamps[:count], positions[:count], LIMITS)
    assert (audit.max_velocity_ratio is None) == (count < 2)
    assert audit.max_acceleration_ratio is None
    assert audit.max_jerk_ratio is None


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        audit_commands(np.arange(3), np.zeros((4, 7)), LIMITS)


def test_the_worst_of_both_arms():
    slow, fast = (audit_commands(*stream(speed=speed), LIMITS) for speed in (0.2, 0.8))
    both = worst_of([slow, fast])
    assert both.max_velocity_ratio == fast.max_velocity_ratio
    assert both.set_points == slow.set_points + fast.set_points
    assert worst_of([]).max_velocity_ratio is None
