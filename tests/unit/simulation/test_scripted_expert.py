from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.expert_success import execute, failing_seeds
from svam_ros.simulation.joint_motion import Waypoint, time_motion
from svam_ros.simulation.scripted_expert import ACCELERATION_SHARE, SPEED_SHARE, plan_demonstration
from svam_ros.simulation.simulated_robot import SimulatedRobot
from svam_ros.simulation.tasks import TASKS

PERIOD_S = 0.04
PROFILE = load_robot_profile("cobot_magic")


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_expert_succeeds_on_a_few_scenes(task, shared):
    assert failing_seeds(task, range(200, 203), shared=shared) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_expert_succeeds_on_at_least_48_of_50_scenes(task, shared):
    assert len(failing_seeds(task, range(50), shared=shared)) <= 2


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_expert_leaves_alone_what_the_task_does_not_need(task):
    needed = {"lift_pot": "pot", "place_to_pot": "cube", "place_to_pot_hard": "glass_cube", "pour": "cup"}
    for seed in range(300, 303):
        robot = SimulatedRobot(task, seed, PROFILE, shared=True)
        simulation = robot.simulation
        others = [kind for kind in simulation.kinds if kind not in (needed[task], "bead")]
        before = np.stack([simulation.data.body(name).xpos for name in others])
        assert execute(robot, plan_demonstration(simulation))
        after = np.stack([simulation.data.body(name).xpos for name in others])
        np.testing.assert_allclose(after, before, atol=0.01)


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demonstrations_stay_well_inside_the_limits_and_end_at_rest(task, seed):
    simulation = CobotSimulation(task, seed, shared=seed == 2)
    limits, home = simulation.cobot.limits, simulation.cobot.home
    targets = plan_demonstration(simulation)
    path = np.vstack([home, targets])
    speed = np.diff(path, axis=0) / PERIOD_S
    acceleration = np.diff(speed, axis=0) / PERIOD_S
    assert np.all((limits.lower <= targets) & (targets <= limits.upper))
    assert np.all(np.abs(speed) <= SPEED_SHARE * limits.velocity + 1e-6)
    assert np.all(np.abs(acceleration) <= ACCELERATION_SHARE * limits.acceleration * 1.01)
    assert np.all(np.abs(speed[0]) < 0.05)
    np.testing.assert_allclose(targets[-12:], np.repeat(targets[-1:], 12, axis=0), rtol=0.0, atol=1e-12)
    assert len(targets) * PERIOD_S <= 8.0


def test_the_idle_arm_of_place_to_pot_stays_at_home():
    for seed in range(6):
        simulation = CobotSimulation("place_to_pot", seed)
        idle = "right" if simulation.data.body("cube").xpos[1] > 0 else "left"
        row = simulation.cobot.arm_slice(idle)
        targets = plan_demonstration(simulation)[:, row]
        np.testing.assert_array_equal(targets, np.broadcast_to(simulation.cobot.home[row], targets.shape))


def test_plans_repeat():
    first, second = (plan_demonstration(CobotSimulation("lift_pot", 7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_overlapping_moves_are_slowed_down_to_the_limits_and_pass_smoothly():
    limits = load_cobot().limits
    start, way = np.zeros(14), np.where(limits.upper < 0.1, 0.0, 1.0)
    points = [Waypoint(0.5 * way), Waypoint(way, overlap=0.9)]
    path = np.vstack(
        [start, time_motion(start, points, limits.velocity, limits.acceleration, 0.01, rest_s=0.2)]
    )
    speed = np.diff(path, axis=0) / 0.01
    assert np.abs(speed / limits.velocity).max() <= 1.0 + 1e-4
    assert np.abs(np.diff(speed, axis=0) / 0.01 / limits.acceleration).max() <= 1.01
    np.testing.assert_allclose(path[-1], way)
    middle = np.abs(path[:, 0] - 0.5).argmin()
    assert speed[middle, 0] > 0.3, "a via point is passed, not stopped at"


def test_a_task_without_an_expert_is_refused():
    simulation = CobotSimulation("lift_pot", 0)
    object.__setattr__(simulation, "task", type("Other", (), {"name": "dance"})())
    with pytest.raises(ValueError, match="no scripted expert for task 'dance'"):
        plan_demonstration(simulation)
