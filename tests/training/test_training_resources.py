"""What a run needs, and what is said before the first step when it is not there."""

import shutil
from collections import namedtuple
from dataclasses import replace

import psutil
import pytest
import torch
from support.made_up_training import SETTINGS, MadeUpObjective

from svam_train.training.loop import train
from svam_train.training.resources import check_disk, check_memory, check_room, needs_of
from svam_train.training.run_folder import RunError, RunFolder

NEEDS = needs_of(1_000_000)
"""16 MB a checkpoint, 4 MB at the end, 20 MB of memory."""
Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def free_disk(monkeypatch):
    """Sets the bytes that are free on every disk."""
    return lambda free: monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**12, 0, free))


def test_a_large_disk_needs_no_words(tmp_path, free_disk):
    free_disk(52_000_001)  # three checkpoints of 16 MB and the weights
    assert not list(check_disk(tmp_path, NEEDS, SETTINGS, 0))


def test_a_disk_that_may_become_too_small_gets_a_warning(tmp_path, free_disk):
    free_disk(51_999_999)
    (sentence,) = check_disk(tmp_path, NEEDS, SETTINGS, 0)
    assert "49.59 MiB, but only 49.59 MiB are free" in sentence
    assert "keep_checkpoints" in sentence


def test_checkpoints_that_are_there_need_no_more_room(tmp_path, free_disk):
    free_disk(20_000_001)
    assert list(check_disk(tmp_path, NEEDS, SETTINGS, 1))
    assert not list(check_disk(tmp_path, NEEDS, SETTINGS, 2))


def test_a_disk_without_room_for_one_checkpoint_is_refused_before_the_first_step(tmp_path, free_disk):
    class Untouched(MadeUpObjective):
        def batch(self, step: int, size: int):
            raise AssertionError("it started")

    free_disk(100)
    with pytest.raises(RunError, match=r"a checkpoint takes .* but only .* are free there; make room"):
        train(Untouched(), SETTINGS, RunFolder(tmp_path, SETTINGS), resume=False)


def test_too_little_memory_gets_a_warning(monkeypatch):
    Memory = namedtuple("Memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(19_000_000))
    (sentence,) = check_memory(NEEDS, torch.device("cpu"))
    assert "take 19.07 MiB beside the activations, but only 18.12 MiB are free on cpu" in sentence
    assert "FSDP" in sentence
    assert not list(check_memory(needs_of(1_000_000, shards=2), torch.device("cpu")))


def test_what_is_kept_for_all_pictures_has_to_fit(tmp_path, free_disk):
    folder = tmp_path / "not" / "there"
    free_disk(1_000_000)
    check_room("latents", 1_000_000, folder, "make room")
    with pytest.raises(RunError, match=r"latents take 0.95 MiB, of which 0.00 MiB are there, and 0.95"):
        check_room("latents", 1_000_001, folder, "make room")
    assert not folder.parent.exists()
    folder.mkdir(parents=True)
    (folder / "episode.npz").write_bytes(b"0")
    check_room("latents", 1_000_001, folder, "make room")


def test_what_is_kept_in_memory_has_to_fit(monkeypatch):
    Memory = namedtuple("Memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(100))
    check_room("features", 100, None, "keep them on disk")
    with pytest.raises(RunError, match="free in memory; keep them on disk"):
        check_room("features", 101, None, "keep them on disk")


def test_needs_are_those_of_a_real_checkpoint(tmp_path):
    settings = replace(SETTINGS, steps=1)
    objective = MadeUpObjective()
    train(objective, settings, RunFolder(tmp_path, settings), resume=False)
    trained = [value for value in objective.module.parameters() if value.requires_grad]
    estimate = needs_of(sum(value.numel() for value in trained)).checkpoint
    tensors = sum(path.stat().st_size for path in tmp_path.rglob("checkpoints/*/*.safetensors"))
    headers = 3 * 1500
    assert estimate <= tensors <= estimate + headers
