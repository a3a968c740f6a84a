"""How the shipped ``models/tiny`` is made: its pictures, its run folder."""

from __future__ import annotations

from pathlib import Path

import dacite

from svam_ros.networks.presets import PRESETS
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.demonstrations.recording_recipe import RecordingRecipe
from svam_train.episodes.chunk_dataset import ChunkShape, open_demonstrations
from svam_train.joint_training import JointTraining
from svam_train.recipe import TrainingRecipe
from svam_train.training_checkpoint import CheckpointError, load_checkpoint

RECORDING = RecordingRecipe(ImagePreparation("centre_square", 128, "area"), grid=32)


def open_run(recipe: TrainingRecipe, demonstrations: Path, run: Path) -> JointTraining:
    """The run in folder ``run`` before its first step.

    Raises:
        DemonstrationError: there are too few demonstrations, or some are damaged.
        ValueError: the recipe has not one frame offset for every frame of the preset's video.
    """
    config = PRESETS[recipe.preset]
    if len(recipe.frame_offsets) != config.backbone.frames:
        raise ValueError(
            f"frame_offsets {recipe.frame_offsets} name {len(recipe.frame_offsets)} frames, preset "
            f"'{recipe.preset}' has {config.backbone.frames}"
        )
    shape = ChunkShape(config.action_expert.pred_horizon, recipe.frame_offsets, config.grid)
    training, held_out = open_demonstrations(demonstrations, shape, recipe.held_out_every)
    return JointTraining(recipe, training, held_out, run)


def recipe_of_run(run: Path) -> TrainingRecipe:
    """The recipe that the checkpoint in ``run`` was made with.

    Raises:
        CheckpointError: there is no checkpoint, or this version does not know its recipe.
    """
    stored = load_checkpoint(run).recipe
    try:
        return dacite.from_dict(TrainingRecipe, stored, dacite.Config(strict=True, cast=[tuple]))
    except (dacite.DaciteError, TypeError) as error:
        raise CheckpointError(f"{run}: its checkpoint has a recipe of another version: {error}") from error
