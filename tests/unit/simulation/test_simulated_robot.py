"""The simulated robot speaks its profile's dialect and changes nothing on the way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from svam_ros.cobot import ARM_NAMES, CalibrationError, GripperProfile, load_robot_profile
from svam_ros.simulation.arm_driver import JointCommand
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.simulated_robot import START_NS, SimulatedRobot, report_period_s, stream_step

PROFILE = load_robot_profile("cobot_magic")
MOVE = np.array([0.1, 0.1, -0.1, 0.1, 0.1, 0.1, -0.02] * 2)


def test_readings_are_bit_for_bit_what_the_physics_has():
    robot = SimulatedRobot("lift_pot", 0, PROFILE)
    stream_step(robot, robot.cobot.home, robot.cobot.home + MOVE)
    state, readings = robot.simulation.arm_state(), dict(robot.report())
    for arm in ARM_NAMES:
        row = robot.cobot.arm_slice(arm)
        np.testing.assert_array_equal(readings[arm].positions, state.positions[row])
        np.testing.assert_array_equal(readings[arm].velocities, state.velocities[row])
        assert readings[arm].stamp_ns == robot.now_ns == START_NS + 40_000_000


@pytest.mark.parametrize(("rate_hz", "set_points"), [(100.0, 4), (200.0, 8), (50.0, 2), (25.0, 1)])
def test_a_step_streams_at_the_profiles_rate_and_stays_inside_the_limits(rate_hz, set_points):
    robot = SimulatedRobot("lift_pot", 0, dataclasses.replace(PROFILE, command_rate_hz=rate_hz))
    reports = stream_step(robot, robot.cobot.home, robot.cobot.home + 100.0)
    assert robot.simulation.time_s == pytest.approx(robot.cobot.control_period_s)
    assert {driver.accepted for driver in robot.simulation.drivers.values()} == {set_points}
    stamps = [report.reading.stamp_ns - START_NS for report in reports if report.arm == "left"]
    assert stamps == [5_000_000 * (index + 1) for index in range(8)]
    assert np.all(robot.simulation.arm_state().positions <= robot.cobot.limits.upper + 0.05)


def test_a_gripper_in_another_unit_moves_and_reads_the_same():
    other = dataclasses.replace(PROFILE, gripper=GripperProfile(metres_per_unit=2.0))
    robots = [SimulatedRobot("lift_pot", 0, profile) for profile in (PROFILE, other)]
    for robot in robots:
        for _ in range(5):
            stream_step(robot, robot.cobot.home, robot.cobot.home + MOVE)
    one, two = ({arm: reading.positions for arm, reading in robot.report()} for robot in robots)
    for arm in ARM_NAMES:
        np.testing.assert_allclose(one[arm], two[arm], atol=1e-12)
        assert one[arm][-1] < robots[0].cobot.home[6] - 0.01


def test_messages_change_nothing_of_the_motion():
    """Set-points that skip the messages give the same states, bit for bit."""
    robot, plain = SimulatedRobot("lift_pot", 3, PROFILE), CobotSimulation("lift_pot", 3)
    home = plain.cobot.home
    stream_step(robot, home, home + MOVE)
    for index in range(1, 5):
        for arm in ARM_NAMES:
            row = plain.cobot.arm_slice(arm)
            names = plain.drivers[arm].settings.joint_names
            plain.command(arm, JointCommand(names, (home + MOVE * (index / 4))[row]))
        plain.step(0.01)
    np.testing.assert_array_equal(
        robot.snapshot().generalised_positions, plain.snapshot().generalised_positions
    )


def test_time_passes_in_whole_periods_of_the_joint_states():
    with pytest.raises(ValueError, match="joint states come every 5 ms"):
        SimulatedRobot("lift_pot", 0, PROFILE).advance(0.0075)
    with pytest.raises(CalibrationError, match="state_rate_hz is 150"):
        report_period_s(dataclasses.replace(PROFILE, state_rate_hz=150.0))
