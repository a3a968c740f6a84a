from __future__ import annotations

import hashlib

import numpy as np
import pytest

from svam_ros.cobot import ARM_NAMES
from svam_ros.simulation import success_tests
from svam_ros.simulation.arm_driver import DriverSettings, JointCommand
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.task_objects import CUBE_SIDE_M, POT_HEIGHT_M
from svam_ros.simulation.tasks import TASKS, UnknownTaskError


def command(simulation: CobotSimulation, arm: str, positions: np.ndarray) -> None:
    simulation.command(arm, JointCommand(simulation.drivers[arm].settings.joint_names, positions))


def digest_of_a_run(task: str, seed: int) -> str:
    """States and pictures of half a second of arbitrary commands."""
    simulation = CobotSimulation(task, seed)
    rng = np.random.default_rng(0)
    seen = hashlib.md5(usedforsecurity=False)
    with FrontCamera(320, 240) as camera:
        for step in range(100):
            for arm in ARM_NAMES:
                row = simulation.cobot.arm_slice(arm)
                command(simulation, arm, simulation.cobot.home[row] + rng.uniform(0.0, 0.005, 7))
            simulation.step()
            state = simulation.arm_state()
            seen.update(state.positions.tobytes() + state.velocities.tobytes() + state.efforts.tobytes())
            if step % 25 == 0:
                seen.update(camera.render(simulation.snapshot()).tobytes())
    return seen.hexdigest()


@pytest.mark.parametrize("task", ["place_to_pot", "pour"])
def test_states_and_pictures_repeat_bit_for_bit(task):
    assert digest_of_a_run(task, 3) == digest_of_a_run(task, 3)
    assert digest_of_a_run(task, 3) != digest_of_a_run(task, 4)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_reset_is_as_good_as_new(task):
    used = CobotSimulation("lift_pot", 9)
    command(used, "left", used.cobot.home[:7] * 0.5)
    used.step(0.5)
    used.reset(task, 5)
    fresh = CobotSimulation(task, 5)
    used.step(0.1)
    fresh.step(0.1)
    np.testing.assert_array_equal(
        used.snapshot().generalised_positions, fresh.snapshot().generalised_positions
    )
    assert used.time_s == fresh.time_s
    assert used.instruction == TASKS[task].instruction
    used.reset(task, 5, shared=True)
    assert used.kinds != fresh.kinds
    used.reset(task, 5)
    assert used.kinds == fresh.kinds


def test_arms_rest_at_home_until_commanded():
    simulation = CobotSimulation("lift_pot", 0)
    simulation.step(1.0)
    state = simulation.arm_state()
    np.testing.assert_allclose(state.positions, simulation.cobot.home, atol=2e-3)
    np.testing.assert_allclose(state.velocities, 0.0, atol=1e-3)
    assert simulation.time_s == pytest.approx(1.0)


def test_commands_reach_the_arm_they_are_for_in_metres_of_opening():
    simulation = CobotSimulation("lift_pot", 0)
    target = simulation.cobot.home[7:].copy()
    target[0] += 0.3
    target[6] = 0.02
    command(simulation, "right", target)
    simulation.step(2.0)
    state = simulation.arm_state()
    np.testing.assert_allclose(state.positions[7:], target, atol=3e-3)
    np.testing.assert_allclose(state.positions[:7], simulation.cobot.home[:7], atol=3e-3)


def test_joints_lag_behind_a_moving_set_point_as_real_ones_do():
    simulation = CobotSimulation("lift_pot", 0)
    speed, target = 0.5, simulation.cobot.home[:7].copy()
    for _ in range(100):
        target[0] += speed * 0.01
        command(simulation, "left", target)
        simulation.step(0.01)
    lag_s = (target[0] - simulation.arm_state().positions[0]) / speed
    assert 0.03 <= lag_s <= 0.07


def test_a_refused_command_is_an_error_here():
    simulation = CobotSimulation("lift_pot", 0)
    with pytest.raises(ValueError, match="not finite"):
        command(simulation, "left", np.full(7, np.nan))


def test_drivers_may_speak_another_dialect():
    names = tuple(f"joint{i}" for i in range(7))
    settings = {arm: DriverSettings(names, quirks=True, metres_per_unit=2.0) for arm in ARM_NAMES}
    simulation = CobotSimulation("lift_pot", 0, drivers=settings)
    command(simulation, "left", simulation.cobot.home[:7])
    report = simulation.driver_report("left")
    assert report.positions[6] == pytest.approx(simulation.cobot.home[6] / 2)
    assert len(report.velocities) == 6


@pytest.mark.parametrize("duration_s", [0.0, -0.005, 0.001, 0.0033])
def test_time_passes_in_whole_physics_steps_only(duration_s):
    with pytest.raises(ValueError, match=r"multiple of 0\.0025"):
        CobotSimulation("lift_pot", 0).step(duration_s)


def test_a_snapshot_is_a_copy_that_nobody_changes():
    simulation = CobotSimulation("lift_pot", 0)
    snapshot = simulation.snapshot()
    before = snapshot.generalised_positions.copy()
    command(simulation, "left", simulation.cobot.home[:7] * 0.5)
    simulation.step(0.3)
    np.testing.assert_array_equal(snapshot.generalised_positions, before)
    with pytest.raises(ValueError, match="read-only"):
        snapshot.generalised_positions[0] = 1.0


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(UnknownTaskError, match="did you mean 'lift_pot'"):
        CobotSimulation("lift_pots", 0)


def put(simulation: CobotSimulation, body: str, position, quaternion=(1.0, 0.0, 0.0, 0.0)) -> None:
    simulation.data.joint(body).qpos = [*position, *quaternion]
    simulation.data.joint(body).qvel = 0.0
    mujoco.mj_forward(simulation.model, simulation.data)


def hold(simulation: CobotSimulation, body: str, position, quaternion=(1.0, 0.0, 0.0, 0.0)) -> bool:
    """Keep a body in the air for half a second."""
    for _ in range(100):
        put(simulation, body, position, quaternion)
        simulation.step()
    return simulation.success()


@pytest.fixture
def held(monkeypatch):
    """Let the success tests believe that these arms touch what they ask for."""
    arms = set(ARM_NAMES)

    def touched(_model, _data, _body, arm_names=ARM_NAMES):
        return not arms.isdisjoint(arm_names)

    monkeypatch.setattr(success_tests, "_touched_by_gripper", touched)
    return arms


def test_the_pot_counts_as_lifted_when_it_hangs_high_and_upright(held):
    tilted = (np.cos(0.4), np.sin(0.4), 0.0, 0.0)
    assert not hold(CobotSimulation("lift_pot", 0), "pot", (0.37, 0.0, 0.0))
    assert not hold(CobotSimulation("lift_pot", 0), "pot", (0.37, 0.0, 0.05))
    assert not hold(CobotSimulation("lift_pot", 0), "pot", (0.37, 0.0, 0.15), tilted)
    assert hold(CobotSimulation("lift_pot", 0), "pot", (0.37, 0.0, 0.15))
    held.remove("left")
    assert not hold(CobotSimulation("lift_pot", 0), "pot", (0.37, 0.0, 0.15))


def test_a_pot_that_nobody_touches_is_not_lifted():
    assert not hold(CobotSimulation("lift_pot", 0), "pot", (0.37, 0.0, 0.25))


@pytest.mark.usefixtures("held")
def test_success_has_to_last():
    simulation = CobotSimulation("lift_pot", 0)
    for _ in range(59):
        put(simulation, "pot", (0.37, 0.0, 0.15))
        simulation.step()
    assert not simulation.success()
    put(simulation, "pot", (0.37, 0.0, 0.15))
    simulation.step()
    assert simulation.success()
    put(simulation, "pot", (0.37, 0.0, 0.0))
    simulation.step()
    assert not simulation.success()


@pytest.mark.parametrize(
    ("offset", "expected"),
    [((0.0, 0.0, 0.05), True), ((0.0, 0.0, 0.12), True), ((0.0, 0.14, 0.03), False)],
)
@pytest.mark.parametrize(("task", "cube"), [("place_to_pot", "cube"), ("place_to_pot_hard", "glass_cube")])
def test_the_cube_counts_as_placed_when_it_lies_in_the_pot(offset, expected, task, cube):
    simulation = CobotSimulation(task, 0)
    pot = simulation.data.body("pot").xpos.copy()
    put(simulation, cube, pot + offset)
    assert not simulation.success()
    simulation.step(1.0)
    assert simulation.success() is expected
    assert simulation.fraction() == float(expected)


@pytest.mark.parametrize(("task", "other"), [("place_to_pot", "glass_cube"), ("place_to_pot_hard", "cube")])
def test_the_other_cube_in_the_pot_is_not_what_was_asked_for(task, other):
    simulation = CobotSimulation(task, 0, shared=True)
    put(simulation, other, simulation.data.body("pot").xpos + np.array([0.0, 0.0, 0.05]))
    simulation.step(1.0)
    assert not simulation.success()


def test_a_cube_in_a_lying_pot_is_not_placed():
    simulation = CobotSimulation("place_to_pot", 0)
    lying = (np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0)
    put(simulation, "pot", (0.42, 0.0, 0.09), lying)
    put(simulation, "cube", (0.42, -0.03, 0.09))
    simulation.step(1.0)
    assert not simulation.success()


def test_objects_start_apart_and_on_the_table():
    sides = set()
    for seed in range(40):
        simulation = CobotSimulation("place_to_pot", seed)
        pot, cube = (simulation.data.body(name).xpos.copy() for name in ("pot", "cube"))
        assert np.hypot(*(pot - cube)[:2]) > 0.13
        assert cube[2] == pytest.approx(CUBE_SIDE_M / 2)
        assert POT_HEIGHT_M > CUBE_SIDE_M
        simulation.step(0.2)
        np.testing.assert_allclose(simulation.data.body("cube").xpos, cube, atol=1e-3)
        sides.add(bool(cube[1] > 0))
    assert sides == {True, False}
