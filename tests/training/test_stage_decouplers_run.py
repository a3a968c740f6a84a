"""From finished runs of the video model and the teachers to a run of the decouplers."""

import dataclasses
import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.killed_training import checkpointing, killed_before
from support.made_up_foresight import RECIPE, changed, foresight_data, foresight_rows, frozen_network
from support.networks import CONFIG, random_network

from svam_ros.networks import presets
from svam_train.episodes.episodes import CorruptShard, DataError
from svam_train.stages.decoupler_run import DecouplerRun, train_decouplers
from svam_train.stages.inheritance import inherited_weights
from svam_train.stages.video_decoder import VideoDecoder
from svam_train.teachers.teacher import TeacherError
from svam_train.training.run_folder import RunError, write_json

SHORT = changed(training=dataclasses.replace(RECIPE.training, steps=3), held_out_clips=2, surveyed_clips=2)


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", CONFIG)


def finished_run(folder, tensors, config):
    folder.mkdir()
    save_file(
        {name: t.detach().clone().contiguous() for name, t in tensors.items()}, folder / "weights.safetensors"
    )
    write_json(folder / "config.json", config)
    write_json(folder / "parent.json", {})
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Finished runs of the stages before, of the network that the made-up frozen half has."""
    folder = tmp_path_factory.mktemp("before")
    tensors = frozen_network().state_dict()
    torch.manual_seed(5)
    decoder = VideoDecoder(CONFIG.image_encoder).state_dict()
    backbone = {n: t for n, t in tensors.items() if n.startswith(("image_e", "text_e", "video_b"))}
    video = finished_run(
        folder / "video",
        {**backbone, **{f"video_decoder.{name}": value for name, value in decoder.items()}},
        {"recipe": {"network": "tiny", "frame_spacing": 2}},
    )
    (video / "tokenizer.json").write_text(foresight_data().tokenizer.to_json(), encoding="utf-8")
    encoders = {n: t for n, t in tensors.items() if n.startswith(("semantic_r", "geometric_r"))}
    return video, finished_run(folder / "teachers", encoders, {})


def described(folder, before, **changes):
    run = DecouplerRun(
        training=foresight_rows(0),
        held_out=foresight_rows(10),
        facts={"fingerprint": "made up"},
        folder=folder,
        device=torch.device("cpu"),
        video=before[0],
        teachers=before[1],
        dinov2="nowhere",
        depth_anything_3="nowhere",
    )
    return dataclasses.replace(run, **changes)


def test_a_run_hands_on_all_that_stage_3_builds_on(tmp_path, before):
    train_decouplers(SHORT, described(tmp_path / "run", before), resume=False)
    network = random_network()
    later = ("uni_perceiver.", "action_expert.")
    wanted = {name for name in network.state_dict() if not name.startswith(later)}
    assert wanted <= set(inherited_weights(tmp_path / "run"))
    quality = json.loads((tmp_path / "run/foresight.json").read_text(encoding="utf-8"))
    assert len(quality["cosine"]["semantic"]) == CONFIG.backbone.frames
    assert set(quality["depth_error_m"]) == {"foreseen", "repeated", "teacher"}


def test_a_run_that_died_between_two_steps_is_resumed_to_the_bit(tmp_path, before):
    train_decouplers(SHORT, described(tmp_path / "whole", before), resume=False)
    often, run = checkpointing(SHORT), described(tmp_path / "died", before)
    with killed_before(2):
        train_decouplers(often, run, resume=False)
    train_decouplers(often, run, resume=True)
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "died"))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_kill_before_the_figures_were_written_has_them_made_by_resume(tmp_path, before):
    run = described(tmp_path / "run", before)
    train_decouplers(SHORT, run, resume=False)
    file = tmp_path / "run/foresight.json"
    written = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    train_decouplers(SHORT, run, resume=True)
    again = json.loads(file.read_text(encoding="utf-8"))
    for group, series in written.items():
        for name, values in series.items():
            assert again[group][name] == pytest.approx(values, rel=1e-5), (group, name)


def test_each_decoupler_by_itself_and_both_together(tmp_path, before):
    semantic, geometric = (dataclasses.replace(SHORT, kinds=(kind,)) for kind in RECIPE.kinds)
    train_decouplers(semantic, described(tmp_path / "semantic", before), resume=False)
    beside = described(tmp_path / "both", before, beside=tmp_path / "semantic")
    train_decouplers(geometric, beside, resume=False)
    names = inherited_weights(tmp_path / "both")
    assert any(name.startswith("semantic_decoupler.") for name in names)
    assert any(name.startswith("geometric_decoupler.") for name in names)


def test_kept_examples_are_made_once_and_checked_before_the_first_step(tmp_path, before, caplog):
    recipe = dataclasses.replace(SHORT, cached_examples=8)
    told = []
    run = described(tmp_path / "run", before, examples=tmp_path / "examples")
    train_decouplers(recipe, run, resume=False, told=lambda *what: told.append(what[:2]))
    assert told == [(0, 2), (1, 2), (2, 2)]
    shard = tmp_path / "examples/shard_00001.safetensors"
    made_at = shard.stat().st_mtime_ns
    again = dataclasses.replace(run, folder=tmp_path / "again")
    train_decouplers(recipe, again, resume=False)
    assert shard.stat().st_mtime_ns == made_at
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("run", "again"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptShard, match=r"shard_00001\.safetensors"):
        train_decouplers(recipe, dataclasses.replace(run, folder=tmp_path / "third"), resume=False)
    assert not (tmp_path / "third").exists()
    skipping = dataclasses.replace(run, folder=tmp_path / "fourth", skip_corrupt=True)
    with caplog.at_level(logging.WARNING):
        train_decouplers(recipe, skipping, resume=False)
    assert "shard_00001.safetensors is left out" in caplog.text
    other_data = dataclasses.replace(run, folder=tmp_path / "fifth", facts={"fingerprint": "other"})
    with pytest.raises(DataError, match="made with other data"):
        train_decouplers(recipe, other_data, resume=False)


def test_runs_that_do_not_fit_are_refused(tmp_path, before):
    with pytest.raises(RunError, match="was trained with frame_spacing 2, the decouplers would be with 4"):
        train_decouplers(
            dataclasses.replace(SHORT, frame_spacing=4), described(tmp_path / "run", before), resume=False
        )
    without = described(tmp_path / "run", before, teachers=before[0])
    with pytest.raises(RunError, match=r"missing are semantic_reference\.dino"):
        train_decouplers(SHORT, without, resume=False)
    public = described(tmp_path / "run", before, teachers=None, dinov2=str(tmp_path / "nowhere"))
    with pytest.raises(TeacherError, match="cannot be loaded"):
        train_decouplers(SHORT, public, resume=False)
