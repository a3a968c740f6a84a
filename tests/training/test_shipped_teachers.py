"""The teachers that ship with the package see, in scenes they were not trained on, what simulation knows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from svam_ros.networks.presets import PRESETS as NETWORKS
from svam_train.commands.stage_data import DataOptions, open_stage_data
from svam_train.demonstrations import recording_recipe, stills
from svam_train.demonstrations.recording_recipe import RECORDING
from svam_train.episodes.scene_seeds import STILL_SEEDS_FROM
from svam_train.recipes.teachers import PRESETS
from svam_train.stages.inheritance import inherited_weights
from svam_train.stages.teachers import TeachersObjective

FOLDER = Path(__file__).parents[2] / "models" / "tiny_teachers"
UNSEEN_FROM = STILL_SEEDS_FROM + 50_000
"""They were trained on the first 1,250 of every task."""


@pytest.mark.slow
def test_they_know_classes_depth_places_and_joints_of_scenes_they_never_saw(tmp_path):
    recording_recipe.keep_recipe(tmp_path, RECORDING)
    with pytest.MonkeyPatch.context() as patch, stills.Cameras.open(RECORDING) as cameras:
        patch.setattr(stills, "STILLS_A_FILE", 8)
        for number, task in enumerate(("lift_pot", "place_to_pot", "place_to_pot_hard", "pour")):
            made = stills.stills(task, UNSEEN_FROM + 8 * number, RECORDING, cameras)
            stills.save_demonstration(tmp_path, made)
    config = NETWORKS["tiny"]
    data = open_stage_data(DataOptions(path=tmp_path), config.image_encoder.image_size, held_out_share=0.5)
    recipe = dataclasses.replace(PRESETS["tiny"], held_out_rows=16)
    taught = TeachersObjective(recipe, config, data.training, data.held_out, inherited_weights(FOLDER))
    untaught = TeachersObjective(recipe, config, data.training, data.held_out)
    with torch.no_grad():
        seen, guessed = (it.held_out(it.module.eval()) for it in (taught, untaught))
    assert seen["right_class"] > 0.96 > guessed["right_class"]
    assert seen["depth_error_m"] < 0.02 < guessed["depth_error_m"]
    assert seen["centre_error_m"] < 0.03 < guessed["centre_error_m"]
    assert seen["joint_error"] < 0.05 < guessed["joint_error"]
