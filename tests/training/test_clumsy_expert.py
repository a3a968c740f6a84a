"""The expert that misjudges: it errs as its numbers say, by the seed, and its failures can be learnt from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.types import ArmState, CameraFrame, Observation
from svam_train.cli import main
from svam_train.demonstrations import clumsy_expert
from svam_train.demonstrations.clumsy_expert import ClumsyExpert
from svam_train.demonstrations.recording_recipe import keep_recipe
from svam_train.episodes.scene_seeds import RELABELLING_SEEDS_FROM as FIRST_SEED


def motion(expert, steps=60, spacing=8):
    """What it would execute: the first steps of one prediction after the other."""
    home, black = load_cobot().home, np.zeros((4, 4, 3), np.uint8)
    rows = []
    for step in range(0, steps, spacing):
        stamp_ns = 7_000_000_000 + step * 40_000_000
        arms = ArmState(home, np.zeros(14), stamp_ns, stamp_ns)
        rows.append(expert.predict(Observation(CameraFrame(black, stamp_ns), arms, ""), None)[:spacing])
    return np.concatenate(rows)[:steps]


def test_it_errs_by_the_seed_and_the_same_every_time(coarse_recipe):
    first, second = ClumsyExpert(coarse_recipe), ClumsyExpert(coarse_recipe)
    motions = []
    for seed in (FIRST_SEED, FIRST_SEED + 1):
        first.start("lift_pot", seed)
        second.start("lift_pot", seed)
        motions.append(motion(first))
        np.testing.assert_array_equal(motions[-1], motion(second))
    assert np.abs(motions[0] - motions[1]).max() > 0.01


def test_without_misjudgement_and_wandering_it_is_the_expert(coarse_recipe, monkeypatch):
    monkeypatch.setattr(clumsy_expert, "MISJUDGED_BY_M", (0.0,))
    monkeypatch.setattr(clumsy_expert, "WANDERS_BY_RAD", 0.0)
    expert = ClumsyExpert(coarse_recipe)
    expert.start("pour", FIRST_SEED)
    plan = plan_demonstration(CobotSimulation("pour", FIRST_SEED))
    np.testing.assert_array_equal(motion(expert), plan[:60])


def test_what_it_misjudges_is_where_the_objects_are(coarse_recipe, monkeypatch):
    monkeypatch.setattr(clumsy_expert, "MISJUDGED_BY_M", (0.03,))
    monkeypatch.setattr(clumsy_expert, "WANDERS_BY_RAD", 0.0)
    offsets = []
    for seed in range(FIRST_SEED, FIRST_SEED + 6):
        expert = ClumsyExpert(coarse_recipe)
        expert.start("place_to_pot", seed)
        plan = plan_demonstration(CobotSimulation("place_to_pot", seed))
        offsets.append(np.abs(motion(expert, 30) - plan[:30]).max())
    assert np.median(offsets) > 0.02
    assert max(offsets) < 1.5


def test_grippers_do_not_wander(coarse_recipe, monkeypatch):
    monkeypatch.setattr(clumsy_expert, "MISJUDGED_BY_M", (0.0,))
    expert = ClumsyExpert(coarse_recipe)
    expert.start("lift_pot", FIRST_SEED)
    plan = plan_demonstration(CobotSimulation("lift_pot", FIRST_SEED))
    away = motion(expert) - plan[:60]
    assert not away[:, load_cobot().gripper_indices].any()
    assert 0.0 < np.abs(away).max() < 0.4


def test_an_object_is_displaced_along_the_table_and_turned():
    simulation = CobotSimulation("lift_pot", 3)
    before = simulation.data.body("pot").xpos.copy()
    turn_before = np.arctan2(*simulation.data.body("pot").xmat.reshape(3, 3)[[1, 0], 0])
    simulation.displace("pot", (0.02, -0.01), 0.3)
    np.testing.assert_allclose(simulation.data.body("pot").xpos - before, [0.02, -0.01, 0.0], atol=1e-12)
    turn = np.arctan2(*simulation.data.body("pot").xmat.reshape(3, 3)[[1, 0], 0])
    assert turn - turn_before == pytest.approx(0.3)


@pytest.mark.slow
def test_the_command_records_the_way_back_without_any_model(tmp_path, coarse_recipe, capsys):
    keep_recipe(tmp_path, dataclasses.replace(coarse_recipe, varied_looks=0.5))
    told = ["--folder", str(tmp_path), "--tasks", "lift_pot", "--episodes", "4", "--workers", "1"]
    assert main(["relabel", "--led-by", "clumsy_expert", *told]) == 0
    assert "continued" in capsys.readouterr().out
    kept = list(tmp_path.glob("relabelled_lift_pot_*.npz"))
    assert kept
    assert main(["relabel", "--led-by", "clumsy_expert", *told]) == 0
    assert len(list(tmp_path.glob("relabelled_lift_pot_*.npz"))) == len(kept)
