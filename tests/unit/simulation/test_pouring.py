from __future__ import annotations

import numpy as np
import pytest

from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.pouring_objects import BEAD_RADIUS_M, BEADS, bead_positions_in_cup

LYING = (np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0)


def put(simulation: CobotSimulation, body: str, position, quaternion=(1.0, 0.0, 0.0, 0.0)) -> None:
    simulation.data.joint(body).qpos = [*position, *quaternion]
    simulation.data.joint(body).qvel = 0.0
    mujoco.mj_forward(simulation.model, simulation.data)


def scene_with_beads_in_bowl(count: int) -> CobotSimulation:
    """``count`` beads in the bowl, the others in the cup."""
    simulation = CobotSimulation("pour", 0)
    bowl = simulation.data.body("bowl").xpos.copy()
    for number, offset in enumerate(bead_positions_in_cup()[:count]):
        put(simulation, f"bead{BEADS - 1 - number}", bowl + offset)
    return simulation


@pytest.mark.parametrize(("count", "done"), [(0, False), (16, False), (17, True), (BEADS, True)])
def test_four_fifths_of_the_beads_in_the_bowl_are_enough(count, done):
    simulation = scene_with_beads_in_bowl(count)
    simulation.step(0.6)
    assert simulation.fraction() == pytest.approx(count / BEADS)
    assert simulation.success() is done


def test_beads_spilled_beside_the_bowl_do_not_count():
    simulation = scene_with_beads_in_bowl(BEADS)
    for number in range(6):
        put(simulation, f"bead{number}", (0.30 + 0.02 * number, -0.3, BEAD_RADIUS_M))
    simulation.step(0.6)
    assert simulation.fraction() == pytest.approx((BEADS - 6) / BEADS)
    assert not simulation.success()


def test_beads_in_a_bowl_that_is_upset_fall_out():
    simulation = scene_with_beads_in_bowl(BEADS)
    put(simulation, "bowl", (0.39, 0.0, 0.09), LYING)
    simulation.step(0.6)
    assert not simulation.success()


def test_a_cup_that_was_dropped_is_not_poured_from():
    simulation = scene_with_beads_in_bowl(BEADS)
    put(simulation, "cup", (0.40, -0.30, 0.03), LYING)
    simulation.step(0.6)
    assert simulation.fraction() == 1.0
    assert not simulation.success()


def test_a_cup_of_beads_set_into_the_bowl_is_not_poured():
    simulation = CobotSimulation("pour", 0)
    shift = simulation.data.body("bowl").xpos - simulation.data.body("cup").xpos + np.array([0.0, 0.0, 0.01])
    for body in ("cup", *(f"bead{number}" for number in range(BEADS))):
        put(simulation, body, simulation.data.body(body).xpos + shift)
    simulation.step(1.0)
    assert simulation.fraction() == 0.0
    assert not simulation.success()


def test_an_empty_cup_left_in_the_bowl_is_not_done():
    simulation = scene_with_beads_in_bowl(BEADS)
    bowl = simulation.data.body("bowl").xpos.copy()
    for number in range(4):  # leave the floor of the bowl free for the cup's foot
        put(simulation, f"bead{number}", (0.30 + 0.02 * number, 0.3, BEAD_RADIUS_M))
    put(simulation, "cup", bowl + np.array([0.0, 0.0, 0.05]))
    simulation.step(0.6)
    assert simulation.data.body("cup").xpos[2] > 0.005
    assert not simulation.success()


def test_a_full_cup_stands_still():
    simulation = CobotSimulation("pour", 3)
    cup, bowl = (simulation.data.body(name).xpos.copy() for name in ("cup", "bowl"))
    simulation.step(1.0)
    np.testing.assert_allclose(simulation.data.body("cup").xpos, cup, atol=1e-3)
    np.testing.assert_allclose(simulation.data.body("bowl").xpos, bowl, atol=1e-3)
    beads = np.stack([simulation.data.body(f"bead{number}").xpos for number in range(BEADS)])
    assert np.hypot(*(beads - cup)[:, :2].T).max() < 0.025
    assert np.abs([simulation.data.joint(f"bead{number}").qvel[:3] for number in range(BEADS)]).max() < 0.02


def test_beads_are_part_of_a_snapshot():
    simulation = CobotSimulation("pour", 0)
    before = simulation.snapshot().generalised_positions
    put(simulation, "bead4", (0.3, 0.0, 0.2))
    assert not np.array_equal(simulation.snapshot().generalised_positions, before)
