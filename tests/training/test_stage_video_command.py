"""Foundations and stage 1 as commands: from a folder of demonstrations to runs that build on each other."""

import dataclasses
import json
import shutil

import pytest
import torch
from support.killed_training import checkpointing, killed_before
from support.made_up_demonstrations import made_up_demonstration
from support.made_up_video import RECIPE, SIZE, TRAINING
from support.networks import CONFIG

from svam_ros.cobot import load_cobot
from svam_ros.networks import presets
from svam_ros.networks.svam import Svam
from svam_train.commands import foundations, stage_data, video
from svam_train.commands.foundations import Foundations
from svam_train.commands.stage_data import DataOptions
from svam_train.commands.video import Video
from svam_train.episodes.demonstration_files import save_demonstration
from svam_train.episodes.episodes import DataError
from svam_train.episodes.open_settings import OpenSettings
from svam_train.recipes import actions, decouplers
from svam_train.recipes import video as video_recipes
from svam_train.recipes.autoencoder import AutoencoderRecipe
from svam_train.stages import latent_cache
from svam_train.stages.inheritance import inherited_tokenizer
from svam_train.training.run_folder import RunError, load_weights

HOME = load_cobot().home.astype("float32")
SETTINGS = dataclasses.replace(TRAINING, steps=2, batch_size=2)
AUTOENCODER = AutoencoderRecipe("micro", SETTINGS, frame_spacing=4, held_out_share=0.5, held_out_pictures=2)
VIDEO = dataclasses.replace(
    RECIPE, network="micro", training=SETTINGS, held_out_share=0.5, held_out_clips=2, pictured_clips=1
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Demonstrations, a finished autoencoder and a finished video model."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "demonstrations").mkdir()
    for task in ("lift_pot", "place_to_pot"):
        for seed in range(4):
            demonstration = made_up_demonstration(task, seed, pictures=6, size=SIZE, grid=8)
            near_home = dataclasses.replace(
                demonstration,
                joints=HOME + 0.01 * demonstration.joints,
                targets=HOME + 0.01 * demonstration.targets,
            )
            save_demonstration(folder / "demonstrations", near_home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "micro", CONFIG)
        data = DataOptions(folder / "demonstrations")
        foundations.run(Foundations(folder / "foundations", data, recipe=AUTOENCODER))
        options = Video(folder / "video", data, folder / "foundations" / "autoencoder", recipe=VIDEO)
        video.run(options)
        yield folder, options


def test_the_run_is_all_that_the_next_stage_needs(runs):
    folder, _ = runs
    tensors = load_weights(folder / "video")
    network = Svam(CONFIG, with_video_head=True)
    parts = ("image_encoder.", "text_encoder.", "video_backbone.")
    assert {name for name in network.state_dict() if name.startswith(parts)} <= tensors.keys()
    encoder = load_weights(folder / "foundations" / "autoencoder")
    assert encoder.items()
    assert all(torch.equal(tensors[name], value) for name, value in encoder.items())
    tokenizer = inherited_tokenizer(folder / "video", CONFIG.text)
    assert tokenizer.encode("lift the pot with both hands")


def test_the_run_says_what_it_is_built_on_and_of_which_data(runs):
    folder, _ = runs
    parent = json.loads((folder / "video" / "parent.json").read_text())["autoencoder"]
    assert parent["run"] == str(folder / "foundations" / "autoencoder")
    configs = [
        json.loads((folder / run / "config.json").read_text()) for run in ("video", "foundations/autoencoder")
    ]
    assert [config["stage"] for config in configs] == ["video", "autoencoder"]
    assert configs[0]["data"] == configs[1]["data"]
    assert configs[0]["data"]["image"] == {"crop": "centre_square", "size": SIZE, "interpolation": "area"}
    assert configs[0]["recipe"]["frame_spacing"] == VIDEO.frame_spacing


def test_a_finished_run_is_resumed_without_a_step_and_refused_without_resume(runs):
    folder, options = runs
    before = (folder / "video" / "weights.safetensors").read_bytes()
    video.run(dataclasses.replace(options, resume=True))
    assert (folder / "video" / "weights.safetensors").read_bytes() == before
    with pytest.raises(RunError, match="--resume"):
        video.run(options)


@pytest.mark.parametrize("name", ["video", "foundations/autoencoder"])
def test_a_run_that_died_between_two_steps_is_resumed_to_the_bit(name, runs, tmp_path):
    folder, options = runs

    def stage(*, resume):
        if name == "video":
            often = checkpointing(options.recipe)
            video.run(dataclasses.replace(options, run=tmp_path / name, recipe=often, resume=resume))
        else:
            often = checkpointing(AUTOENCODER)
            made = Foundations(tmp_path / "foundations", options.data, resume=resume, recipe=often)
            foundations.run(made)

    with killed_before(1):
        stage(resume=False)
    stage(resume=True)
    resumed, ours = load_weights(tmp_path / name), load_weights(folder / name)
    assert resumed.keys() == ours.keys()
    assert all(torch.equal(resumed[key], value) for key, value in ours.items())


def test_frames_between_two_pictures_are_refused_before_anything_is_encoded(runs, tmp_path):
    _, options = runs
    odd = dataclasses.replace(VIDEO, frame_spacing=5)
    with pytest.raises(DataError, match=r"pictures are 2 .* frames 5: .*--recipe\.frame-spacing"):
        video.run(dataclasses.replace(options, run=tmp_path / "video", recipe=odd))
    assert not (tmp_path / "video").exists()


@pytest.mark.parametrize("recipes", [actions.PRESETS, decouplers.PRESETS, video_recipes.PRESETS])
def test_every_presets_frames_fall_on_pictures_of_imported_episodes(recipes):
    for recipe in recipes.values():
        assert recipe.frame_spacing % OpenSettings().stride_for(recipe.frame_spacing) == 0


def test_many_latents_go_to_the_runs_folder_and_give_the_same(runs, tmp_path, monkeypatch):
    folder, options = runs
    monkeypatch.setattr(video, "_MEMORY_SHARE", 0.0)
    video.run(dataclasses.replace(options, run=tmp_path / "video"))
    assert len(list((tmp_path / "video" / "latents").glob("*.npz"))) == 8
    same, ours = load_weights(tmp_path / "video"), load_weights(folder / "video")
    assert all(torch.equal(same[name], value) for name, value in ours.items())


def test_latents_that_would_not_fit_are_refused_before_anything_is_encoded(runs, tmp_path, monkeypatch):
    _, options = runs
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, 100))
    monkeypatch.setattr(latent_cache, "encode_episode", None)
    kept_apart = dataclasses.replace(options, run=tmp_path / "video", latents=tmp_path / "latents")
    with pytest.raises(RunError, match=r"latents of all pictures take .* name another folder with --latents"):
        video.run(kept_apart)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"autoencoder": None}, "either --autoencoder"),
        ({"svd": "svd", "clip": "clip"}, "either --autoencoder"),
        ({"autoencoder": None, "svd": "svd"}, "belong together"),
        ({"recipe": dataclasses.replace(VIDEO, train_text=False)}, "--recipe.train-text"),
    ],
)
def test_starts_that_do_not_fit_are_refused_before_anything_is_read(runs, changes, sentence):
    _, options = runs
    wrong = dataclasses.replace(options, data=DataOptions("nowhere"), **changes)
    with pytest.raises(ValueError, match=sentence):
        video.run(wrong)


def test_no_stage_trains_on_what_another_holds_out(runs):
    folder, _ = runs
    data = DataOptions(folder / "demonstrations")
    parts = [stage_data.open_stage_data(data, SIZE, share) for share in (0.4, 0.5)]
    fewer, more = ({episode.identity for episode in part.held_out.episodes} for part in parts)
    assert fewer <= more
    assert not more & {episode.identity for episode in parts[1].training.episodes}
