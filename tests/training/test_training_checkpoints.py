"""Checkpoints: all or nothing, verified, the newest good one is found."""

import errno
import logging
import os

import pytest
import torch
from safetensors import SafetensorError

from svam_train.training import checkpoints
from svam_train.training.checkpoints import CheckpointFolder, write_tensors
from svam_train.training.run_folder import RunError


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of steps 1 to 3, of which the two newest are kept."""
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        save(folder, step)
    return folder


def save(folder, step):
    tensors = torch.full((300,), float(step))
    return folder.save(step, {"step": step}, [("weights", {"a": tensors}), ("average", {"a": -tensors})])


def steps(folder):
    return [one.step for one in folder.all()]


def test_what_was_saved_comes_back_and_the_oldest_go(folder):
    newest = folder.newest()
    assert newest.step == 3
    assert newest.facts() == {"step": 3}
    assert torch.equal(newest.tensors("average")["a"], torch.full((300,), -3.0))
    assert steps(folder) == [2, 3]


def test_no_checkpoint_is_no_error(tmp_path):
    assert CheckpointFolder(tmp_path / "nowhere", keep=2).newest() is None


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = {
    "cut short": lambda folder: os.truncate(folder / "weights.safetensors", 100),
    "one bit": lambda folder: flip_a_bit(folder / "average.safetensors"),
    "a file is gone": lambda folder: (folder / "average.safetensors").unlink(),
    "no facts": lambda folder: (folder / "state.json").unlink(),
    "facts cut short": lambda folder: os.truncate(folder / "state.json", 20),
    "other facts": lambda folder: (folder / "state.json").write_text('{"files": 3}', encoding="utf-8"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_with_a_sentence(folder, damage, caplog):
    DAMAGES[damage](folder.at(3).folder)
    with caplog.at_level(logging.WARNING):
        newest = folder.newest()
    assert newest.step == 2
    assert "step_000003 is damaged" in caplog.text
    assert "the one before it is used" in caplog.text
    # It does not push out good ones, and its step can be saved again.
    save(folder, 3)
    save(folder, 4)
    assert steps(folder) == [3, 4]
    assert folder.newest().step == 4


def test_when_all_are_damaged_there_is_none(folder):
    for one in folder.all():
        DAMAGES["cut short"](one.folder)
    assert folder.newest() is None


def test_a_half_written_checkpoint_is_none(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        save(folder, 4)
    monkeypatch.undo()
    assert folder.newest().step == 3
    assert save(folder, 4).tensors("weights")["a"][0] == 4.0


def test_a_full_disk_leaves_the_last_good_checkpoint_and_says_so(folder, monkeypatch):
    original = checkpoints.write_tensors

    def full(path, tensors, metadata=None):
        original(path, tensors, metadata)
        if path.name == "average.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    with pytest.raises(RunError, match="No space left on device") as failed:
        save(folder, 4)
    assert "the checkpoint of step 3 is still good" in str(failed.value)
    assert "--resume" in str(failed.value)
    assert folder.newest().step == 3
    assert not (folder.at(3).folder.parent / "unfinished").exists()


def test_the_library_s_own_error_on_a_full_disk_keeps_its_number(tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left") as failed:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)})
    assert failed.value.errno == errno.ENOSPC
