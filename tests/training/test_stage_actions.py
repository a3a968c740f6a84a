"""Stage 3 learns on a frozen network, resumes to the bit, and hands on the network as it runs."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from support.action_runs import SMALL, decouplers_run, demonstrations, finished_run, trained
from support.killed_training import checkpointing, killed_before

from svam_ros.networks.presets import TINY
from svam_ros.networks.svam import Svam
from svam_train.commands.actions import open_action_data
from svam_train.commands.stage_data import DataOptions
from svam_train.episodes.episodes import DataError
from svam_train.recipes.actions import (
    PRESETS,
    ActionRecipe,
    Augmentation,
    CommittedPrefix,
    ReadOutWeights,
)
from svam_train.stages.inheritance import inherited_tokenizer, inherited_weights
from svam_train.training.run_folder import RunError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return demonstrations(tmp_path_factory.mktemp("demonstrations"))


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return decouplers_run(tmp_path_factory.mktemp("parents"))


@pytest.fixture(scope="module")
def run(data, parent, tmp_path_factory):
    return trained(SMALL, data, parent, tmp_path_factory.mktemp("run") / "actions")


def test_only_perceiver_and_expert_change_and_the_whole_network_is_handed_on(run, parent):
    before, after = inherited_weights(parent), inherited_weights(run)
    assert set(Svam(TINY).run_time_state_dict()) <= set(after)
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    torch.manual_seed(SMALL.training.seed)
    start = Svam(TINY).state_dict()
    for name in ("uni_perceiver.latents", "action_expert.action_prediction.weight"):
        assert not torch.equal(after[name], start[name])


def test_what_was_looked_at_is_written_down(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert set(lines[-1]["held_out"]) == {
        "total", "action", "roughness", "places", "rests", "sampled_error", "sampled_error_rad",
        "sampled_roughness",
    }  # fmt: skip
    assert 0 < lines[-1]["held_out"]["sampled_error_rad"] < 10
    assert (run / "pictures" / "step_000002" / "chunks.png").stat().st_size > 1000
    config = json.loads((run / "config.json").read_text())
    assert sum(config["data"]["episodes"].values()) + config["data"]["held_out_episodes"] == 6
    assert json.loads((run / "statistics.json").read_text())["id"] == config["statistics"]


def test_features_from_memory_disk_or_anew_train_alike(run, data, parent, tmp_path):
    kept = trained(dataclasses.replace(SMALL, features="disk"), data, parent, tmp_path / "disk")
    anew = trained(dataclasses.replace(SMALL, features="none"), data, parent, tmp_path / "none")
    memory, disk, none = (inherited_weights(folder) for folder in (run, kept, anew))
    assert len(list((tmp_path / "disk" / "features").glob("*.npz"))) == 6
    for name, tensor in memory.items():
        assert torch.equal(disk[name], tensor), name
        # kept features are float16
        torch.testing.assert_close(none[name], tensor, atol=3e-3, rtol=0.1)


def test_a_run_that_died_between_two_steps_is_resumed_to_the_bit(run, data, parent, tmp_path):
    often = checkpointing(SMALL)
    with killed_before(1):
        trained(often, data, parent, tmp_path / "actions")
    resumed = inherited_weights(trained(often, data, parent, tmp_path / "actions", resume=True))
    for name, tensor in inherited_weights(run).items():
        assert torch.equal(resumed[name], tensor), name


def test_a_damaged_file_of_features_is_named(data, parent, tmp_path):
    recipe = dataclasses.replace(SMALL, features="disk")
    with killed_before(0):
        trained(recipe, data, parent, tmp_path / "actions")
    damaged = sorted((tmp_path / "actions" / "features").iterdir())[2]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DataError, match=rf"{damaged.name}: .* is damaged.*delete the file"):
        trained(recipe, data, parent, tmp_path / "actions", resume=True)


def test_frames_at_other_moments_than_the_parents_are_refused(data, parent, tmp_path):
    other = shutil.copytree(parent, tmp_path / "decouplers")
    config = {"stage": "decouplers", "recipe": {"frame_spacing": 6}}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"frames 6 control steps apart.*--recipe\.frame-spacing 6"):
        trained(SMALL, data, other, tmp_path / "actions")


def test_another_run_of_this_stage_can_be_gone_on_from(run, data, tmp_path):
    further = trained(SMALL, data, run, tmp_path / "further")
    assert json.loads((further / "statistics.json").read_text()) == json.loads(
        (run / "statistics.json").read_text()
    )
    before, after = inherited_weights(run), inherited_weights(further)
    moved = (after["uni_perceiver.latents"] - before["uni_perceiver.latents"]).abs().max()
    assert 0 < moved < 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"latent_noise": "fresh", "features": "none", "augmentation": Augmentation(0.1, 0.1, 0.1, 2)},
        {"prefix": CommittedPrefix(longest=6), "pred_horizon": 24, "joint_weights": (2.0,) * 14},
        {"read_outs": ReadOutWeights(), "roughness_weight": 0.0, "statistics": "moments"},
    ],
)
def test_options_train(changes, data, parent, tmp_path):
    weights = inherited_weights(
        trained(dataclasses.replace(SMALL, **changes), data, parent, tmp_path / "run")
    )
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("sampled_error_rad_behind_prefix" in line["held_out"]) == ("prefix" in changes)
    assert ("places" in line["held_out"]) == ("read_outs" not in changes)
    assert ("roughness" in line["held_out"]) == ("roughness_weight" not in changes)


def test_a_parent_of_another_network_or_without_tokenizer_is_refused(data, parent, tmp_path):
    weights = inherited_weights(parent)
    weights.pop("semantic_decoupler.input_projection.weight")
    broken = finished_run(tmp_path / "broken", weights)
    with pytest.raises(RunError, match=r"does not fit network 'tiny'.*semantic_decoupler"):
        trained(SMALL, data, broken, tmp_path / "run")
    with pytest.raises(RunError, match=r"holds tokenizer\.json"):
        inherited_tokenizer(broken, TINY.text)
    assert not (tmp_path / "run").exists()


def test_a_parent_that_was_trained_again_is_refused(tmp_path):
    video = finished_run(tmp_path / "video", {"a": torch.zeros(2)})
    decouplers = finished_run(tmp_path / "decouplers", {"b": torch.zeros(2)}, [video])
    save_file({"a": torch.ones(2)}, video / "weights.safetensors")
    with pytest.raises(RunError, match="was trained again"):
        inherited_weights(decouplers)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"latent_noise": "fresh"}, "cannot be kept.*latent_noise fresh"),
        ({"augmentation": Augmentation(brightness=0.1)}, "cannot be kept.*augmentation"),
        ({"pred_horizon": 4}, "allowed is 1 to pred_horizon 4"),
        ({"prefix": CommittedPrefix(9)}, "longest_prefix is 9"),
        ({"joint_weights": (1.0,)}, "joint_weights are 1, actions have 14"),
        ({"pred_horizon": 2, "roughness_weight": 1.0}, "too short for second differences"),
        ({"roughness_weight": -1.0}, "must be at least 0"),
    ],
)
def test_recipes_that_cannot_be_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(SMALL, **wrong)


def test_the_published_networks_dropout_keeps_features_from_being_kept():
    with pytest.raises(ValueError, match="decoupler_dropout"):
        dataclasses.replace(PRESETS["cobot"], features="disk", latent_noise="fixed", decoupler_dropout=True)


@pytest.mark.parametrize("name", ["tiny", "calvin", "metaworld", "cobot"])
def test_presets_are_complete(name):
    recipe = PRESETS[name]
    assert isinstance(recipe, ActionRecipe)
    assert recipe.config.action_expert.pred_horizon == recipe.pred_horizon


def test_the_action_expert_of_another_robot_is_refused_before_the_data_is_opened():
    with pytest.raises(DataError, match="acts with 7 numbers, the Cobot has 14 joints"):
        open_action_data(DataOptions(path="nowhere"), PRESETS["calvin"])
