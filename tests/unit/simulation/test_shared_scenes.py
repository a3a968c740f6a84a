from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.tasks import TASKS

RADII_M = {"pot": 0.13, "cube": 0.032, "glass_cube": 0.032, "cup": 0.029, "bowl": 0.075}
"""Of circles round the objects' outlines."""


def places(task: str, seed: int, *, shared: bool) -> dict[str, np.ndarray]:
    simulation = CobotSimulation(task, seed, shared=shared)
    return {kind: simulation.data.body(kind).xpos[:2].copy() for kind in simulation.kinds if kind in RADII_M}


def test_three_tasks_are_possible_in_one_and_the_same_scene():
    for seed in range(5):
        first, second = (
            CobotSimulation(task, seed, shared=True).snapshot()
            for task in ("place_to_pot", "place_to_pot_hard")
        )
        assert first.kinds == ("pot", "cube", "glass_cube")
        assert first.kinds == second.kinds
        np.testing.assert_array_equal(first.generalised_positions, second.generalised_positions)


def test_the_pot_is_to_be_lifted_in_the_scenes_of_all_other_tasks():
    seen = {CobotSimulation("lift_pot", seed, shared=True).kinds for seed in range(20)}
    assert seen == {CobotSimulation(task, 0, shared=True).kinds for task in ("place_to_pot", "pour")}


def test_neither_side_nor_colour_tells_what_is_asked_for():
    sides = {
        tuple(
            float(np.sign(place[1]))
            for kind, place in places("pour", seed, shared=True).items()
            if kind != "pot"
        )
        for seed in range(20)
    }
    assert sides == {(1.0, 1.0), (-1.0, -1.0)}
    red = {bool(places("place_to_pot", seed, shared=True)["cube"][1] > 0) for seed in range(20)}
    assert red == {True, False}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("task", sorted(TASKS))
def test_objects_start_apart_and_at_rest(task, shared):
    for seed in range(40):
        for (kind, place), (other, there) in combinations(places(task, seed, shared=shared).items(), 2):
            # Handles reach far only along one axis: round the pot's body a smaller circle is enough.
            apart = sum(min(RADII_M[name], 0.085) for name in (kind, other))
            assert np.hypot(*(place - there)) > apart + 0.005, (seed, kind, other)
    simulation = CobotSimulation(task, 7, shared=shared)
    before = {kind: simulation.data.body(kind).xpos.copy() for kind in simulation.kinds if kind in RADII_M}
    simulation.step(0.3)
    for kind, place in before.items():
        np.testing.assert_allclose(simulation.data.body(kind).xpos, place, atol=1e-3)
