"""A run's folder: what may be resumed, what a run is built on, what it hands on."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.made_up_training import SETTINGS

from svam_train.training.run_folder import (
    RunError,
    RunFolder,
    differences,
    load_config,
    load_weights,
    step_name,
    weights_hash,
)


@pytest.fixture
def finished(tmp_path):
    """A parent run that handed something on."""
    folder = tmp_path / "parent"
    folder.mkdir()
    save_file({"a": torch.arange(3.0)}, folder / "weights.safetensors")
    return folder


def test_config_and_parents_are_written(tmp_path, finished):
    run = RunFolder(tmp_path / "run", SETTINGS, {"video": finished})
    run.begin(resume=False)
    assert load_config(run.path)["betas"] == list(SETTINGS.betas)
    parent = json.loads((run.path / "parent.json").read_text(encoding="utf-8"))
    assert parent == {"video": {"run": str(finished), "sha256": weights_hash(finished)}}


def test_a_folder_with_a_run_is_only_resumed(tmp_path):
    run = RunFolder(tmp_path, SETTINGS)
    run.begin(resume=False)
    with pytest.raises(RunError, match="add --resume"):
        run.begin(resume=False)
    run.begin(resume=True)


def test_resuming_with_another_config_names_every_field_that_differs(tmp_path):
    RunFolder(tmp_path, {"stage": "video", "training": vars(SETTINGS)}).begin(resume=False)
    other = replace(SETTINGS, learning_rate=0.5, seed=9)
    with pytest.raises(RunError, match="started with other values") as refused:
        RunFolder(tmp_path, {"stage": "video", "training": vars(other)}).begin(resume=True)
    text = str(refused.value)
    assert "training.learning_rate (0.02 there, 0.5 now)" in text
    assert "training.seed (5 there, 9 now)" in text
    assert "batch_size" not in text


def test_what_has_no_influence_on_the_numbers_may_change(tmp_path):
    RunFolder(tmp_path, SETTINGS).begin(resume=False)
    RunFolder(tmp_path, replace(SETTINGS, keep_checkpoints=9, checkpoint_every_s=1.0)).begin(resume=True)
    assert load_config(tmp_path)["keep_checkpoints"] == 9


def test_a_parent_that_was_trained_again_is_refused_one_that_moved_is_not(tmp_path, finished):
    RunFolder(tmp_path / "run", SETTINGS, {"video": finished}).begin(resume=False)
    moved = finished.rename(tmp_path / "moved")
    RunFolder(tmp_path / "run", SETTINGS, {"video": moved}).begin(resume=True)
    save_file({"a": torch.zeros(3)}, moved / "weights.safetensors")
    with pytest.raises(RunError, match=r"video\.sha256"):
        RunFolder(tmp_path / "run", SETTINGS, {"video": moved}).begin(resume=True)


def test_only_one_at_a_time_trains_in_a_folder(tmp_path):
    run = RunFolder(tmp_path, SETTINGS)
    with run.alone(), pytest.raises(RunError, match="another process is training here"), run.alone():
        pass
    with run.alone():
        pass


def test_an_unfinished_parent_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(RunError, match="not finished"):
        RunFolder(tmp_path / "run", SETTINGS, {"video": tmp_path / "parent"}).begin(resume=False)
    assert not (tmp_path / "run").exists()


def test_what_was_handed_on_is_read_and_damage_is_named(finished):
    assert torch.equal(load_weights(finished)["a"], torch.arange(3.0))
    path = finished / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(RunError, match=r"weights\.safetensors: cannot be read"):
        load_weights(finished)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"config\.json"):
        load_config(tmp_path)


def test_differences_have_dotted_names():
    there, here = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}
    assert list(differences(there, here)) == [("a.c", 2, 4), ("d", 3, None), ("e", None, 5)]


def test_pictures_keep_their_colours(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 200
    RunFolder(tmp_path, SETTINGS).save_pictures(500, {"red": picture})
    read = cv2.imread(str(tmp_path / "pictures" / step_name(500) / "red.png"))
    assert read.shape == (4, 6, 3)
    assert read[0, 0].tolist() == [0, 0, 200]
