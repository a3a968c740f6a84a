from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.simulation.arm_driver import (
    DRIVER_ACCELERATION,
    DRIVER_SPEED,
    ArmDriver,
    DriverSettings,
    JointCommand,
)

NAMES = tuple(f"joint{i}" for i in range(7))
START = np.array([0.0, 1.0, -1.0, 0.0, 0.5, 0.0, 0.05])
TICK_S = 0.0025


def make_driver(**settings) -> ArmDriver:
    limits = load_cobot().limits
    return ArmDriver(DriverSettings(NAMES, **settings), limits.lower[:7], limits.upper[:7], START)


def run(driver: ArmDriver, seconds: float) -> np.ndarray:
    return np.array([driver.advance(TICK_S).copy() for _ in range(round(seconds / TICK_S))])


def test_a_jump_is_approached_within_speed_and_acceleration_and_without_overshoot():
    driver = make_driver()
    target = np.array([2.0, 2.5, -0.2, 1.0, -0.5, -1.5, 0.0])
    assert driver.receive(JointCommand(NAMES, target))
    path = np.vstack([START, run(driver, 3.0)])
    speed = np.diff(path, axis=0) / TICK_S
    assert np.all(np.abs(speed) <= DRIVER_SPEED + 1e-9)
    assert np.all(np.abs(np.diff(speed, axis=0)) <= DRIVER_ACCELERATION * TICK_S + 1e-9)
    assert np.abs(speed).max() > 2.5
    np.testing.assert_allclose(path[-1], target, atol=1e-4)
    overshoot = (path - target) * np.sign(target - START)
    assert overshoot.max() < 0.01


def test_a_streamed_motion_is_followed_closely():
    driver = make_driver()
    worst = 0.0
    for step in range(200):
        time_s = step * 0.01
        target = START.copy()
        target[0] = 0.5 * (1.0 - np.cos(2.0 * time_s))
        driver.receive(JointCommand(NAMES, target))
        for _ in range(4):
            driver.advance(TICK_S)
        worst = max(worst, abs(driver.set_points[0] - target[0]))
    assert worst < 0.03


def test_the_last_set_point_is_held_when_commands_stop():
    driver = make_driver()
    for step in range(50):
        driver.receive(JointCommand(NAMES, START + np.array([0.01 * step, 0, 0, 0, 0, 0, 0])))
        run(driver, 0.01)
    run(driver, 2.0)
    np.testing.assert_allclose(driver.set_points[0], 0.49, atol=1e-3)
    np.testing.assert_array_equal(run(driver, 0.1)[0].round(6), run(driver, 0.1)[-1].round(6))


def test_velocity_6_is_a_speed_in_percent():
    slow, fast, plain = make_driver(), make_driver(), make_driver(reads_speed_percent=False)
    target = START + np.array([2.0, 0, 0, 0, 0, 0, 0])
    for driver, percent in ((slow, 10.0), (fast, 100.0), (plain, 10.0)):
        driver.receive(JointCommand(NAMES, target, [0.0] * 6 + [percent]))
    speeds = [np.diff(run(d, 1.0)[:, 0]).max() / TICK_S for d in (slow, fast, plain)]
    assert speeds[0] == pytest.approx(0.3, rel=1e-3)
    assert min(speeds[1:]) > 2.5


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (JointCommand(NAMES[:6], [0.0] * 6), "joint names"),
        (JointCommand((*NAMES[:6], "joint7"), [0.0] * 7), "joint names"),
        (JointCommand(NAMES, [0.0] * 6), "number of positions"),
        (JointCommand(NAMES, [0.0] * 7, [0.0] * 6), "number of velocities or efforts"),
        (JointCommand(NAMES, [0.0] * 7, [0.0] * 6 + [150.0]), "speed percent"),
        (JointCommand(NAMES, [0.0] * 6 + [-0.02]), "gripper opening"),
        (JointCommand(NAMES, [0.0] * 6 + [0.3]), "gripper opening"),
        (JointCommand(NAMES, [np.nan] + [0.0] * 6), "not finite"),
        (JointCommand(NAMES, [3.6] + [0.0] * 6), "position above 3.5"),
    ],
)
def test_malformed_commands_are_refused_and_counted(command, reason):
    driver = make_driver()
    assert not driver.receive(command)
    assert driver.refused == {reason: 1}
    np.testing.assert_array_equal(run(driver, 0.1)[-1], START)


def test_names_decide_not_the_order():
    driver = make_driver()
    assert driver.receive(JointCommand(NAMES[::-1], START[::-1]))
    np.testing.assert_allclose(run(driver, 0.5)[-1], START, atol=1e-6)


def test_quirks_drive_a_missing_joint_to_zero_and_read_the_gripper_by_index_without_sign():
    driver = make_driver(quirks=True)
    shifted = tuple(f"joint{i}" for i in range(1, 8))
    assert driver.receive(JointCommand(shifted, [0.1, 0.2, -0.3, 0.4, 0.5, 0.6, -0.04]))
    end = run(driver, 3.0)[-1]
    # joint0 is missing; every other value lands one joint later than it was meant to.
    np.testing.assert_allclose(end, [0.0, 0.1, 0.0, -0.3, 0.4, 0.5, 0.04], atol=1e-3)


def test_positions_are_clamped_to_the_limits_in_both_modes():
    upper = load_cobot().limits.upper[:6]
    for quirks in (False, True):
        driver = make_driver(quirks=quirks)
        driver.receive(JointCommand(NAMES, [3.4] * 6 + [0.07]))
        np.testing.assert_allclose(run(driver, 5.0)[-1][:6], upper, atol=1e-3)


def test_older_drivers_open_further_and_some_speak_of_one_finger():
    driver = make_driver(gripper_upper_m=0.08, metres_per_unit=2.0)
    assert driver.receive(JointCommand(NAMES, [*START[:6], 0.04]))
    np.testing.assert_allclose(run(driver, 2.0)[-1][6], 0.08, atol=1e-4)
    report = driver.report(np.full(7, 0.08), np.full(7, 0.2), np.ones(7))
    assert report.positions[6] == pytest.approx(0.04)
    assert report.velocities[6] == pytest.approx(0.1)
    assert report.positions[0] == pytest.approx(0.08)


def test_a_disabled_arm_does_not_act():
    driver = make_driver(enabled_at_start=False)
    assert not driver.receive(JointCommand(NAMES, np.zeros(7)))
    assert driver.refused == {"disabled": 1}
    driver.enable(True)
    assert driver.receive(JointCommand(NAMES, np.zeros(7)))


def test_quirks_leave_the_grippers_velocity_out_and_close_it_at_enabling():
    driver = make_driver(quirks=True)
    report = driver.report(START, np.zeros(7), np.zeros(7))
    assert (len(report.positions), len(report.velocities), len(report.efforts)) == (7, 6, 7)
    assert len(make_driver().report(START, np.zeros(7), np.zeros(7)).velocities) == 7
    driver.enable(True)
    np.testing.assert_allclose(run(driver, 2.0)[-1], [*START[:6], 0.0], atol=1e-4)


def test_settings_without_seven_names_are_refused():
    with pytest.raises(ValueError, match="7 different joint names"):
        ArmDriver(DriverSettings(("a", "b")), np.zeros(7), np.ones(7), START)


def test_the_gripper_opens_as_far_as_the_robots_limit_unless_the_driver_says_otherwise():
    limits = load_cobot().limits
    wider = limits.upper[:7] + np.array([0, 0, 0, 0, 0, 0, 0.02])
    wide_open = np.append(START[:6], wider[-1])
    for settings, upper, accepted in (
        (DriverSettings(NAMES), wider, True),
        (DriverSettings(NAMES), limits.upper[:7], False),
        (DriverSettings(NAMES, gripper_upper_m=wider[-1]), limits.upper[:7], True),
    ):
        driver = ArmDriver(settings, limits.lower[:7], upper, START)
        assert driver.receive(JointCommand(NAMES, wide_open)) is accepted
