from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.networks import (
    CONFIG,
    SENTENCES,
    model_contents,
    random_inputs,
    random_network,
    save_random_model,
    statistics,
)

from svam_ros.artifacts import model_directory
from svam_ros.artifacts.model_directory import (
    ModelDirectoryError,
    file_sha256,
    open_model,
    resolve_model,
)
from svam_ros.artifacts.model_saving import save_model
from svam_ros.types import Horizon


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_random_model(tmp_path_factory.mktemp("models") / "small").path


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    """A directory that a test may break."""
    return Path(shutil.copytree(saved, tmp_path / "small"))


def edit_manifest(folder: Path, edit: Callable[[dict], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace_file(folder: Path, name: str) -> None:
    """Make the manifest agree with a changed file, so that only a later check can object."""
    edit_manifest(folder, lambda m: m["files"].update({name: file_sha256(folder / name)}))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelDirectoryError) as caught:
        open_model(folder)
    return str(caught.value)


def test_a_saved_model_opens_with_everything_that_was_saved(saved):
    model = open_model(saved)
    assert model.manifest.name == "small"
    assert model.manifest.config == CONFIG
    assert model.manifest.horizon == Horizon(6, 4)
    assert model.manifest.step_s == 0.04
    assert set(model.manifest.files) == {
        "README.md",
        "statistics.json",
        "tokenizer/tokenizer.json",
        "weights.safetensors",
    }
    assert model.statistics == statistics()
    ids = model.tokenizer.encode(SENTENCES[0]).token_ids
    assert np.array_equal(ids, model_contents(random_network()).tokenizer.encode(SENTENCES[0]).token_ids)


def test_stored_in_single_precision_the_weights_are_the_same_to_the_bit(tmp_path):
    network = random_network(with_video_head=True)
    model = save_model(tmp_path / "exact", model_contents(network), precision="float32")
    loaded, inputs = model.load_network(), random_inputs(network)
    stored = network.run_time_state_dict()
    assert {name: t.shape for name, t in loaded.state_dict().items()} == {
        n: t.shape for n, t in stored.items()
    }
    assert all(torch.equal(tensor, stored[name]) for name, tensor in loaded.state_dict().items())
    with torch.no_grad():
        # Not to the bit: where weights lie in memory decides which kernels some CPUs take.
        torch.testing.assert_close(
            loaded(*inputs.as_tuple()), network(*inputs.as_tuple()), rtol=1e-4, atol=1e-5
        )


def test_saving_over_a_model_replaces_it_and_leaves_nothing_else_behind(tmp_path):
    save_random_model(tmp_path / "m", network=random_network(seed=1))
    first = file_sha256(tmp_path / "m" / "weights.safetensors")
    save_random_model(tmp_path / "m", network=random_network(seed=2))
    assert file_sha256(tmp_path / "m" / "weights.safetensors") != first
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_network_that_cannot_be_stored_leaves_the_old_model_untouched(tmp_path):
    save_random_model(tmp_path / "m")
    before = file_sha256(tmp_path / "m" / "weights.safetensors")
    broken = random_network(seed=2)
    with torch.no_grad():
        broken.uni_perceiver.latents[0, 0, 0] = 1e6  # beyond the largest half-precision number
    with pytest.raises(ModelDirectoryError, match=r"uni_perceiver.latents.*not finite"):
        save_random_model(tmp_path / "m", network=broken)
    assert file_sha256(tmp_path / "m" / "weights.safetensors") == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_folder_of_something_else_is_never_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(ModelDirectoryError, match="is no model directory: choose another place"):
        save_random_model(tmp_path / "thesis")


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "statistics.json", "tokenizer/tokenizer.json", "README.md"]
)
def test_one_changed_byte_anywhere_is_refused(copy, name):
    path = copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert f"{name} was changed or damaged" in refusal(copy)


def test_hashes_that_differ_in_their_last_digits_only_can_be_told_apart(copy):
    actual = file_sha256(copy / "README.md")
    other = actual[:-1] + ("0" if actual[-1] != "0" else "1")
    edit_manifest(copy, lambda m: m["files"].update({"README.md": other}))
    message = refusal(copy)
    assert actual in message
    assert other in message


def test_missing_unlisted_and_linked_files_are_refused(copy):
    (copy / "notes.txt").write_text("mine")
    assert "notes.txt is not listed in the manifest" in refusal(copy)
    (copy / "notes.txt").unlink()
    elsewhere = copy.parent / "elsewhere"
    (copy / "README.md").rename(elsewhere)
    assert "README.md is listed in the manifest but is not there" in refusal(copy)
    (copy / "README.md").symlink_to(elsewhere)
    assert "found a link" in refusal(copy)


def test_compiled_engines_may_be_added_later(copy):
    (copy / "engines").mkdir()
    (copy / "engines" / "sm86.engine").write_bytes(b"\0")
    assert open_model(copy).manifest.name == "small"


@pytest.mark.parametrize("name", ["weights.pt", "model.ckpt", "extra/pytorch_model.BIN", "engines/x.pkl"])
def test_files_that_could_hold_code_are_refused_by_name(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"\x80\x04")
    assert f"{name} may hold pickled code and is refused: only safetensors are run" in refusal(copy)


def test_paths_that_lead_out_of_the_directory_are_refused(copy):
    edit_manifest(copy, lambda m: m["files"].update({"../../etc/passwd": "0" * 64}))
    assert "../../etc/passwd is listed in the manifest but is not there" in refusal(copy)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m.update(format_version=2), "format_version is 2, this version of svam_ros reads 1"),
        (lambda m: m.pop("format_version"), "format_version is None"),
        (lambda m: m.update(colour="red"), "colour"),
        (lambda m: m.pop("provenance"), "provenance"),
        (lambda m: m["config"]["action_expert"].update(heads="four"), "heads"),
        (lambda m: m["config"].update(exec_horizon=0), "exec_horizon must be at least 1, got 0"),
        (lambda m: m["image"].update(size=96), "image.size is 96, but the network takes 32"),
        (lambda m: m["files"].pop("weights.safetensors"), "files does not list weights.safetensors"),
        (lambda m: m.update(step_s=0.05), "the model steps every 50 ms, the robot every 40 ms"),
        (lambda m: m.update(step_s=5.0), "step_s is 5.0, allowed is 0.005 to 0.2"),
        (lambda m: m.update(statistics_id="0" * 16), "trained with statistics 0000000000000000"),
        (lambda m: m["joint_names"].reverse(), "the model's joints are not this robot's"),
        (lambda m: m["joint_names"].pop(), "13 joint_names and 14 joint_units for 14 actions"),
        (lambda m: m["joint_units"].__setitem__(6, "rad"), "joint_units are"),
        (lambda m: m["joint_units"].__setitem__(6, "mm"), "joint_units must be 'rad', 'm' or '1'"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copy, edit, words):
    edit_manifest(copy, edit)
    assert words in refusal(copy)


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": ', "\udcff"])
def test_a_manifest_that_is_none_is_refused_with_its_path(copy, text):
    (copy / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    assert "manifest.json: " in refusal(copy)


def test_weights_must_have_exactly_the_names_and_shapes_of_the_configuration(copy):
    path = copy / "weights.safetensors"
    weights = load_file(path)
    for change, words in (
        (lambda w: w.pop("uni_perceiver.latents"), "1 tensors are missing, such as 'uni_perceiver.latents'"),
        (lambda w: w.update(stranger=torch.zeros(1)), "1 tensors are unknown, such as 'stranger'"),
        (lambda w: w.update({"uni_perceiver.latents": torch.zeros(2, 8, 96)}), "has shape (2, 8, 96)"),
    ):
        changed = dict(weights)
        change(changed)
        save_file(changed, path)
        replace_file(copy, "weights.safetensors")
        assert words in refusal(copy)
    path.write_bytes(b"not safetensors")
    replace_file(copy, "weights.safetensors")
    assert "no readable safetensors file" in refusal(copy)


def test_statistics_of_another_data_set_or_edited_by_hand_are_refused(copy):
    path = copy / "statistics.json"
    numbers = json.loads(path.read_text())
    numbers["actions"]["scale"][0] *= 2
    path.write_text(json.dumps(numbers))
    replace_file(copy, "statistics.json")
    assert "but the numbers are those of" in refusal(copy)
    numbers["actions"]["scale"][0] = 0.0
    path.write_text(json.dumps(numbers))
    replace_file(copy, "statistics.json")
    assert "every scale must be above 0" in refusal(copy)


def test_a_tokenizer_that_is_none_or_too_large_is_refused(copy):
    path = copy / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["banana"] = 64
    path.write_text(json.dumps(tokenizer))
    replace_file(copy, "tokenizer/tokenizer.json")
    assert "the tokenizer has id 64, the text encoder 64 entries" in refusal(copy)
    path.write_text("{}")
    replace_file(copy, "tokenizer/tokenizer.json")
    assert "no tokenizer" in refusal(copy)


def test_models_are_found_by_name_or_by_path_and_otherwise_the_names_are_listed(saved, monkeypatch, tmp_path):
    monkeypatch.setattr(model_directory, "shipped_directory", lambda name: saved.parent)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("small") == saved
    assert resolve_model(saved) == saved
    with pytest.raises(
        ModelDirectoryError, match=r"'smal' is neither.*did you mean 'small'\?.*Shipped: small"
    ):
        resolve_model("smal")


@pytest.mark.parametrize("name", ["", "weights.safetensors", "tokenizer"])
def test_what_every_user_may_change_is_refused(saved, tmp_path, name):
    model = shutil.copytree(saved, tmp_path / "model")
    path = model / name
    path.chmod(path.stat().st_mode | 0o002)
    said = refusal(model)
    assert str(path) in said
    assert f"chmod -R o-w {model}" in said


def test_an_empty_folder_is_no_model_directory(tmp_path):
    assert "is no model directory: it has no manifest.json" in refusal(tmp_path)
