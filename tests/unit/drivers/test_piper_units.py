"""What goes over the bus is the nearest whole number, and comes back as the same one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.drivers.piper_units import from_wire, to_wire


def test_half_a_turn_is_180000_and_seventy_millimetres_are_70000():
    positions = np.array([math.pi, -math.pi, math.pi / 2, math.radians(-0.001), 0.0, math.radians(70), 0.07])
    assert to_wire(positions) == (180000, -180000, 90000, -1, 0, 70000, 70000)
    assert from_wire(to_wire(positions)) == pytest.approx(positions, abs=1e-12)


def test_every_number_on_the_wire_comes_back_as_itself():
    random = np.random.default_rng(1)
    for wire in random.integers(-180_000, 180_001, (2000, 7)):
        wire[6] = abs(wire[6])
        assert to_wire(from_wire(wire)) == tuple(wire)


def test_rounding_is_never_more_than_half_a_unit():
    limits = load_cobot().limits
    random = np.random.default_rng(2)
    for positions in random.uniform(limits.lower[:7], limits.upper[:7], (2000, 7)):
        error = np.abs(from_wire(to_wire(positions)) - positions)
        assert error[:6].max() <= math.radians(0.0005) * 1.000001
        assert error[6] <= 0.5e-6 * 1.000001


def test_a_gripper_measured_below_closed_is_told_to_be_closed_not_opened():
    assert to_wire(np.array([0.0] * 6 + [-0.004]))[6] == 0


@pytest.mark.parametrize("wrong", [np.full(7, np.nan), np.full(7, np.inf), np.zeros(6)])
def test_what_is_no_pose_is_not_sent(wrong):
    with pytest.raises(ValueError, match="refusing to send"):
        to_wire(wrong)


def test_the_arm_s_own_planner_may_be_as_fast_as_the_limits_and_hardly_faster():
    percent = load_robot_profile("piper_can").speed_percent
    assert percent is not None
    fastest_rad_s = 3.0 * percent / 100.0
    limit_rad_s = load_cobot().limits.velocity[:6].max()
    assert limit_rad_s <= fastest_rad_s <= 1.1 * limit_rad_s
