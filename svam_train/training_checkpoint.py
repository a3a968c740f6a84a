"""A training run's state in one safetensors file, written so that a kill never damages it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

FILE_NAME = "checkpoint.safetensors"


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another run; the text names the file."""


@dataclass(frozen=True)
class TrainingCheckpoint:
    """What a run needs to go on exactly where it was."""

    step: int
    """Steps done."""
    trained_s: float
    """Wall time spent on them, over all restarts."""
    recipe: dict[str, Any]
    """As plain values; a run can only be resumed with the recipe that started it."""
    groups: dict[str, dict[str, Tensor]]
    """Named groups of tensors: ``weights``, ``average``, ``optimizer``."""
    earlier: tuple[dict[str, Any], ...] = ()
    """Recipes of the runs that this one extends, the first one first."""


def save_checkpoint(folder: Path, checkpoint: TrainingCheckpoint) -> Path:
    """Replace the folder's checkpoint in one move."""
    folder.mkdir(parents=True, exist_ok=True)
    path, unfinished = folder / FILE_NAME, folder / f"{FILE_NAME}.unfinished"
    tensors = {
        f"{group}/{name}": tensor.detach().contiguous().clone()
        for group, members in checkpoint.groups.items()
        for name, tensor in members.items()
    }
    metadata = {
        "step": str(checkpoint.step),
        "trained_s": repr(checkpoint.trained_s),
        "recipe": json.dumps(checkpoint.recipe),
        "earlier": json.dumps(checkpoint.earlier),
    }
    save_file(tensors, unfinished, metadata=metadata)
    os.replace(unfinished, path)
    return path


def load_checkpoint(folder: Path) -> TrainingCheckpoint:
    """Read the folder's checkpoint.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    path = folder / FILE_NAME
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            for key in file.keys():  # noqa: SIM118 - not a dict
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
        return TrainingCheckpoint(
            int(metadata["step"]),
            float(metadata["trained_s"]),
            json.loads(metadata["recipe"]),
            groups,
            tuple(json.loads(metadata["earlier"])),
        )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: no checkpoint can be read from it ({error})") from error


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments as flat names ``<parameter index>/<name>``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": value for index, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of :func:`optimizer_tensors`; settings such as the learning rate stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
