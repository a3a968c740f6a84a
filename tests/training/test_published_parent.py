"""Whoever has a model directory and recordings of their own goes on from it; its runs are not needed."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from support.action_runs import SMALL, decouplers_run, demonstrations, trained

from svam_ros.artifacts.model_directory import WEIGHTS_FILE, open_model, resolve_model
from svam_ros.artifacts.model_saving import ModelContents, save_model
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.publishing.run_model import publish_run
from svam_train.stages.inheritance import inherited_weights
from svam_train.stages.published_parent import check_fits, find_parent
from svam_train.training.run_folder import RunError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return demonstrations(tmp_path_factory.mktemp("demonstrations"))


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    run = trained(SMALL, data, decouplers_run(base), base / "actions")
    published = publish_run(run, base / "models" / "first")
    shutil.rmtree(base / "actions")  # a user has the model and nothing of how it was made
    return published.path


@pytest.fixture(scope="module")
def tuned(model, data, tmp_path_factory):
    return trained(SMALL, data, model, tmp_path_factory.mktemp("tuned") / "tuned")


def test_training_goes_on_from_the_models_weights_and_statistics(tuned, model):
    before, after = inherited_weights(model), inherited_weights(tuned)
    moved = (after["uni_perceiver.latents"] - before["uni_perceiver.latents"].float()).abs().max()
    assert 0 < moved < 0.05
    frozen = "semantic_decoupler.input_projection.weight"
    torch.testing.assert_close(after[frozen], before[frozen].float())
    statistics = json.loads((tuned / "statistics.json").read_text())
    assert statistics["data"].startswith("of a model, ")


def test_the_new_model_tells_of_the_old_one_and_of_all_runs(tuned, model):
    second = publish_run(tuned, tuned.parent / "second")
    assert second.statistics == open_model(model).statistics
    card = (second.path / "README.md").read_text()
    assert "Begun from the published model 'first'" in card
    assert "| video | 7 | 3 |  | 2 | 1 x abacus |" in card
    assert card.count("| actions | 2 |") == 1
    assert "| tuned | 2 | 4 | 0.001 |" in card
    names = sorted(path.name for path in (second.path / "training").iterdir())
    assert names == ["01_video.json", "02_decouplers.json", "03_actions.json", "04_tuned.json"]


@pytest.mark.slow
def test_a_model_of_which_no_runs_are_known_can_be_gone_on_from(model, data, tmp_path):
    opened = open_model(model)
    of, network = opened.manifest, opened.load_network()
    contents = ModelContents(network, opened.statistics, opened.tokenizer, "tiny", of.image, of.provenance)
    bare = save_model(tmp_path / "imported", contents).path
    further = trained(SMALL, data, bare, tmp_path / "further")
    card = (publish_run(further, tmp_path / "published").path / "README.md").read_text()
    assert "'imported'" in card
    assert "| further | 2 |" in card


def test_a_changed_model_is_refused_before_anything_is_trained(model, data, tmp_path):
    changed = shutil.copytree(model, tmp_path / "changed")
    content = bytearray((changed / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (changed / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(RunError, match=rf"cannot be built on.*{WEIGHTS_FILE}"):
        trained(SMALL, data, changed, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_changes_after_it_was_built_on_is_noticed(tuned, model, tmp_path):
    copy = shutil.copytree(tuned, tmp_path / "tuned")
    parents = json.loads((copy / "parent.json").read_text())
    parents["parent"]["sha256"] = "0" * 64
    (copy / "parent.json").write_text(json.dumps(parents))
    with pytest.raises(RunError, match="trained again"):
        publish_run(copy, tmp_path / "published")


def test_a_model_that_ships_goes_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert find_parent(Path("tiny")) == resolve_model("tiny")
    assert find_parent(Path("run")) == Path("run")
    with pytest.raises(RunError, match=r"--parent is to be .*'tini' .*did you mean 'tiny'\?"):
        find_parent(Path("tini"))


def test_the_model_that_a_run_was_built_on_is_not_replaced_by_it(tuned, model):
    before = open_model(model).manifest
    with pytest.raises(
        RunError, match="is the model that the run was built on: publish it under another name"
    ):
        publish_run(tuned, model)
    assert open_model(model).manifest == before


def test_pictures_that_were_cut_otherwise_and_other_networks_are_refused(model):
    image = ImagePreparation("centre_square", 128, "area")
    check_fits(model, SMALL.config, image)
    longer = dataclasses.replace(SMALL, pred_horizon=24)
    check_fits(model, longer.config, image)
    with pytest.raises(RunError, match=r"saw pictures as .*centre_square.*--data\.crop"):
        check_fits(model, SMALL.config, dataclasses.replace(image, crop="squash"))
    references = dataclasses.replace(SMALL.config.references, resize="bicubic")
    with pytest.raises(RunError, match="is of another network, see references"):
        check_fits(model, dataclasses.replace(SMALL.config, references=references), image)
