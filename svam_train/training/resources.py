"""Whether disk and memory will do, found out before the first step."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from svam_train.recipes.training_settings import TrainingSettings
from svam_train.training.run_folder import RunError

KEPT_SUFFIX = ".npz"
"""Of the archives in which something is kept for the pictures of an episode."""

_GIB = float(1 << 30)
_FLOAT_BYTES = 4
_SAVED_PER_WEIGHT = 4
"""The weight, its average, AdamW's two moments."""
_HELD_PER_WEIGHT = _SAVED_PER_WEIGHT + 1
"""And the gradient."""


@dataclass(frozen=True)
class Needs:
    """What a run needs at least, in bytes."""

    checkpoint: int
    """One checkpoint on disk."""
    weights: int
    """What is handed on at the end."""
    memory: int
    """Of one process, beside activations and frozen networks."""


def needs_of(trained_weights: int, shards: int = 1) -> Needs:
    """Needs of training so many float32 weights, each process holding one of ``shards`` parts of them."""
    weights = trained_weights * _FLOAT_BYTES
    return Needs(weights * _SAVED_PER_WEIGHT, weights, weights * _HELD_PER_WEIGHT // shards)


def check_disk(
    folder: Path, needs: Needs, settings: TrainingSettings, checkpoints_there: int
) -> Iterator[str]:
    """Sentences about what may become scarce.

    Raises:
        RunError: not even one checkpoint fits.
    """
    free = shutil.disk_usage(folder).free
    # A checkpoint is written whole before the oldest one is removed.
    most = max(1, settings.keep_checkpoints + 1 - checkpoints_there) * needs.checkpoint + needs.weights
    if free < needs.checkpoint + needs.weights:
        raise RunError(
            f"{folder}: a checkpoint takes {_size(needs.checkpoint)} and the weights at the end "
            f"{_size(needs.weights)}, but only {_size(free)} are free there; make room, or use a folder on "
            f"another disk"
        )
    if free < most:
        yield (
            f"{folder}: {settings.keep_checkpoints} checkpoints with one being written, and the weights at "
            f"the end, will take {_size(most)}, but only {_size(free)} are free; lower keep_checkpoints or "
            f"make room"
        )


def check_memory(needs: Needs, device: torch.device) -> Iterator[str]:
    """A sentence when weights, gradients, averages and moments alone are more than what is free."""
    if device.type == "cuda":
        free = int(torch.cuda.mem_get_info(device)[0])
    else:
        free = int(psutil.virtual_memory().available)
    if free < needs.memory:
        yield (
            f"weights, gradients, averages and the optimizer's moments take {_size(needs.memory)} beside the "
            f"activations, but only {_size(free)} are free on {device}; train on more devices with FSDP"
        )


def check_room(what: str, needed: int, folder: Path | None, way_out: str) -> None:
    """Before anything is computed that will be kept for all pictures.

    Args:
        what: what is kept, in words.
        needed: what all of it takes, bytes.
        folder: where; archives that are there already count. ``None``: in memory.
        way_out: what to do where there is too little.

    Raises:
        RunError: the disk or the memory has too little room.
    """
    if folder is None:
        free, there = int(psutil.virtual_memory().available), 0
    else:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(nearest).free
        there = sum(path.stat().st_size for path in folder.glob(f"*{KEPT_SUFFIX}"))
    if needed - there > free:
        raise RunError(
            f"{what} take {_size(needed)}, of which {_size(there)} are there, and {_size(free)} are free "
            f"in {folder or 'memory'}; {way_out}"
        )


def _size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / _GIB:.2f} GiB" if count >= _GIB else f"{count / (1 << 20):.2f} MiB"
