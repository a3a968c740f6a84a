"""Drift is followed slowly, jumps are told."""

import numpy as np
import pytest

from svam_ros.control.clocks import NS_PER_MS, NS_PER_S
from svam_ros.control.plan_clock import FASTEST_SLEW, JUMP_MS, MADE_UP_WITHIN_S, UNNOTICED_MS, PlanClock

ROS_NS = 1_700_000_000 * NS_PER_S
TICK_NS = 5 * NS_PER_MS


def test_what_two_readings_differ_by_leaves_stamps_evenly_spaced():
    clock = PlanClock(0, ROS_NS)
    for tick in range(1, 100):
        wobble_ns = (-1) ** tick * round(0.9 * UNNOTICED_MS * NS_PER_MS)
        assert clock.follow(tick * TICK_NS, ROS_NS + tick * TICK_NS + wobble_ns) is None
        assert clock.steady_to_ros_ns == ROS_NS


def test_a_clock_that_is_slewed_for_an_hour_is_followed():
    clock, ppm = PlanClock(0, ROS_NS), 500e-6
    for second in range(1, 3600):
        now_ns = second * NS_PER_S
        assert clock.follow(now_ns, ROS_NS + now_ns + round(now_ns * ppm)) is None
        off_ns = ROS_NS + round(now_ns * ppm) - clock.steady_to_ros_ns
        assert abs(off_ns) <= 1.1 * (UNNOTICED_MS + ppm * MADE_UP_WITHIN_S * 1e3) * NS_PER_MS


def test_a_difference_is_made_up_by_a_slew_that_changes_slowly():
    clock = PlanClock(0, ROS_NS)
    steps_ns, before_ns = [], clock.steady_to_ros_ns
    for tick in range(1, 20_000):
        clock.follow(tick * TICK_NS, ROS_NS + tick * TICK_NS + round(0.9 * JUMP_MS * NS_PER_MS))
        steps_ns.append(clock.steady_to_ros_ns - before_ns)
        before_ns = clock.steady_to_ros_ns
    assert max(steps_ns) <= FASTEST_SLEW * TICK_NS
    assert np.abs(np.diff(steps_ns)).max() <= 1e-4 * TICK_NS
    assert before_ns - ROS_NS == pytest.approx(0.9 * JUMP_MS * NS_PER_MS, abs=0.45 * JUMP_MS * NS_PER_MS)


@pytest.mark.parametrize("by_s", [-10.0, 40.0, -0.11, 0.11])
def test_a_jump_is_told_once_and_stamps_go_with_it(by_s):
    clock = PlanClock(0, ROS_NS)
    jumped_ns = ROS_NS + round(by_s * NS_PER_S)
    assert clock.follow(TICK_NS, jumped_ns + TICK_NS) == pytest.approx(by_s)
    assert clock.steady_to_ros_ns == jumped_ns
    assert clock.follow(2 * TICK_NS, jumped_ns + 2 * TICK_NS) is None
