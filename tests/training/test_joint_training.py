"""Training learns, goes on after a kill as if nothing had happened, and its result runs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from support.made_up_demonstrations import INSTRUCTIONS, made_up_demonstration

from svam_ros.artifacts.model_directory import open_model
from svam_ros.engines import create_engine
from svam_ros.types import ArmState, CameraFrame, Observation
from svam_train.episodes.chunk_dataset import ChunkDataset, ChunkShape
from svam_train.evaluation.closed_loop import Attempt
from svam_train.evaluation.evaluation_report import Subject, summarise
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.joint_training import JointTraining
from svam_train.publishing.joint_model import Publication, commands, publish
from svam_train.recipe import LossWeights, TrainingRecipe
from svam_train.tiny_recipe import RECORDING, recipe_of_run
from svam_train.training_checkpoint import FILE_NAME, CheckpointError

RECIPE = TrainingRecipe(steps=4, batch_size=4, noise_draws=2, warm_up_steps=1, video_every=2)


@pytest.fixture(scope="module")
def datasets():
    shape = ChunkShape(16, RECIPE.frame_offsets, grid=8)
    training = [made_up_demonstration(task, seed) for task in INSTRUCTIONS for seed in (1, 2)]
    held_out = [made_up_demonstration(task, 0) for task in INSTRUCTIONS]
    return ChunkDataset(training, shape), ChunkDataset(held_out, shape)


def finished(run, datasets, recipe=RECIPE):
    training = JointTraining(recipe, *datasets, run)
    list(training.run(evaluate_every=100, held_out_rows=4))
    return training


@pytest.fixture(scope="module")
def trained(datasets, tmp_path_factory):
    return finished(tmp_path_factory.mktemp("run"), datasets)


@pytest.mark.slow
def test_steps_on_one_batch_lower_its_losses(datasets, tmp_path):
    recipe = dataclasses.replace(RECIPE, steps=100, video_every=1, joint_dropout=0.0)
    training = JointTraining(recipe, *datasets, tmp_path)
    before = training.train_step()
    for _ in range(14):  # the places get worse before they get better
        training.step = 0  # the same batch, the same noise
        after = training.train_step()
    for name in ("action", "semantic", "geometric", "reconstruction", "video", "places", "rests"):
        assert after[name] < 0.99 * before[name], name


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_weights(datasets, trained, tmp_path):
    interrupted = JointTraining(RECIPE, *datasets, tmp_path)
    for _ in range(2):
        interrupted.train_step()
    interrupted.save()
    interrupted.train_step()  # done, but lost in the kill

    resumed = JointTraining(RECIPE, *datasets, tmp_path)
    resumed.resume()
    assert resumed.step == 2
    list(resumed.run(evaluate_every=100, held_out_rows=4))
    for name, value in trained.trained.state_dict().items():
        assert torch.equal(value, resumed.trained.state_dict()[name]), name
    for name, value in trained.average.values.items():
        assert torch.equal(value, resumed.average.values[name]), name


def test_what_was_measured_is_written_down(trained):
    line = json.loads((trained.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["step"] == RECIPE.steps
    assert 0 < line["held_out"]["sampled_error"] < 10


def test_a_run_is_only_resumed_with_its_own_recipe(datasets, trained):
    other = JointTraining(dataclasses.replace(RECIPE, learning_rate=0.5), *datasets, trained.folder)
    with pytest.raises(CheckpointError, match="learning_rate"):
        other.resume()
    assert recipe_of_run(trained.folder) == RECIPE


def test_a_finished_run_can_be_extended_and_remembers_how(datasets, trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    weights = LossWeights(rests=0.5)
    longer = dataclasses.replace(RECIPE, steps=5, extends=RECIPE.steps, loss_weights=weights)
    extended = JointTraining(longer, *datasets, tmp_path)
    extended.resume()
    assert extended.step == RECIPE.steps
    list(extended.run(evaluate_every=100, held_out_rows=4))
    again = JointTraining(longer, *datasets, tmp_path)
    again.resume()
    said = commands(again, "tiny")
    assert "tiny --recipe.steps 4 --recipe.batch-size 4" in said
    assert "tiny --recipe.steps 5 --recipe.extends 4" in said
    assert "--recipe.loss-weights.rests 0.5" in said


def test_an_unfinished_run_cannot_be_extended(datasets, tmp_path):
    JointTraining(RECIPE, *datasets, tmp_path).save()
    longer = dataclasses.replace(RECIPE, steps=6, extends=RECIPE.steps)
    with pytest.raises(CheckpointError, match="steps, extends"):
        JointTraining(longer, *datasets, tmp_path).resume()


def test_a_damaged_or_missing_checkpoint_is_refused(datasets, tmp_path):
    training = JointTraining(RECIPE, *datasets, tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        training.resume()
    path = training.save()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=FILE_NAME):
        training.resume()


def test_the_published_model_runs_and_its_card_tells_the_truth(trained, tmp_path):
    settings = LoopSettings(latency_ms=120, replan_steps=5, episode_s=9)
    attempts = [Attempt("lift_pot", 1, True, 80), Attempt("lift_pot", 2, False, 200)]
    (report,) = summarise(attempts, Subject("small", "eager", "model", settings))
    publication = Publication(RECORDING.image, "1 CPU core", (report,))
    publish(trained, tmp_path / "small", publication)

    model = open_model(tmp_path / "small")
    averaged = trained.averaged().network.state_dict()
    for name, value in model.load_network().state_dict().items():
        torch.testing.assert_close(value, averaged[name], rtol=1e-3, atol=1e-4)
    assert model.manifest.provenance.results == {report.label: 0.5}
    assert "--lift-pot 3 --place-to-pot 3" in model.manifest.provenance.command
    assert "--recipe.steps 4" in model.manifest.provenance.command
    assert model.manifest.provenance.command.endswith("svam-train publish runs/tiny --out models/small")
    card = (tmp_path / "small" / "README.md").read_text()
    assert "| lift_pot | model | 120 ms | 5 | 0.2 | 9 s | 1/2 = 50 %" in card
    assert "targets at 25 Hz" in " ".join(card.split())
    assert f"default is {LoopSettings().replan_steps})" in card
    assert "4 steps of 4 images" in card

    engine = create_engine("eager", tmp_path / "small")
    frame = CameraFrame(np.zeros((480, 640, 3), np.uint8), 0)
    state = ArmState(np.zeros(14), np.zeros(14), 0, 0)
    actions = engine.infer(Observation(frame, state, INSTRUCTIONS["lift_pot"])).actions
    assert actions.shape == (16, 14)
    assert np.all(np.isfinite(actions))
