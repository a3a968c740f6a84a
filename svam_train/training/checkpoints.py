"""Checkpoints of a run: written aside and moved into place, verified before they are used."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from svam_ros.whole_files import write_through
from svam_train.training.run_folder import RunError, read_json, step_name, write_json
from svam_train.training.sharded_tensors import divided_like

_FACTS_FILE = "state.json"
_UNFINISHED = "unfinished"
_STEP_FOLDER = re.compile(r"step_(\d+)")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk."""

    folder: Path
    step: int
    """Steps done."""

    def facts(self) -> dict[str, Any]:
        """The plain values that were saved with the tensors.

        Raises:
            RunError: they cannot be read.
        """
        facts: dict[str, Any] = read_json(self.folder / _FACTS_FILE)["facts"]
        return facts

    def tensors(self, group: str) -> dict[str, Tensor]:
        """A group of tensors, on the CPU.

        Raises:
            RunError: they cannot be read.
        """
        path = self.folder / _file_name(group)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise RunError(f"{path}: cannot be read ({error})") from error

    def damage(self) -> str | None:
        """What is wrong with it, or None: every file is there and is what was written."""
        try:
            state = read_json(self.folder / _FACTS_FILE)
            for name, digest in state["files"].items():
                if _digest(self.folder / name) != digest:
                    return f"{name} is not what was written"
        except (OSError, RunError, KeyError, AttributeError) as error:
            return f"{_FACTS_FILE} or a file named in it cannot be read ({error})"
        return None


class CheckpointFolder:
    """The checkpoints of a run.

    Args:
        folder: ``checkpoints`` of the run.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    def all(self) -> list[Checkpoint]:
        """Those in place, the oldest first; damaged ones are among them."""
        if not self._folder.is_dir():
            return []
        matches = ((_STEP_FOLDER.fullmatch(path.name), path) for path in self._folder.iterdir())
        return sorted(
            (Checkpoint(path, int(match[1])) for match, path in matches if match), key=lambda one: one.step
        )

    def newest(self) -> Checkpoint | None:
        """The newest undamaged one; damaged ones are passed over with a sentence, and put aside.

        Returns:
            None where there is no undamaged one.
        """
        for checkpoint in reversed(self.all()):
            damage = checkpoint.damage()
            if damage is None:
                return checkpoint
            aside = checkpoint.folder.with_name(f"{checkpoint.folder.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            checkpoint.folder.rename(aside)
            logger.warning(
                "%s is damaged: %s; it is put aside as %s, and the one before it is used",
                checkpoint.folder,
                damage,
                aside.name,
            )
        return None

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step."""
        return Checkpoint(self._folder / step_name(step), step)

    def save(
        self, step: int, facts: Mapping[str, Any], groups: Iterable[tuple[str, Mapping[str, Tensor]]]
    ) -> Checkpoint:
        """Write a checkpoint, then remove those that are too many.

        A kill leaves either the new checkpoint or none of it; the former ones stay until it is in place.

        Args:
            step: steps done.
            facts: plain values.
            groups: named groups of tensors, taken one after the other.

        Raises:
            RunError: the disk did not take it; the former ones are still there.
        """
        staging, checkpoint = self._folder / _UNFINISHED, self.at(step)
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            files = {
                _file_name(group): write_tensors(staging / _file_name(group), tensors)
                for group, tensors in groups
            }
            write_json(staging / _FACTS_FILE, {"facts": dict(facts), "files": files})
            write_through(staging)
            shutil.rmtree(checkpoint.folder, ignore_errors=True)
            staging.rename(checkpoint.folder)
            write_through(self._folder)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise RunError(self._could_not_save(step, error)) from error
        for old in self.all()[: -self._keep]:
            shutil.rmtree(old.folder, ignore_errors=True)
        return checkpoint

    def _could_not_save(self, step: int, error: OSError) -> str:
        there = self.all()
        last = (
            f"the checkpoint of step {there[-1].step} is still good" if there else "there is none before it"
        )
        free = shutil.disk_usage(self._folder.parent).free / (1 << 20)
        return (
            f"{self._folder}: the checkpoint of step {step} could not be written ({error.strerror or error}; "
            f"{free:.0f} MiB free); {last}; make room, then go on with --resume"
        )


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    """Write a safetensors file through to the disk.

    Returns:
        SHA-256 of the file.

    Raises:
        OSError: the disk did not take it.
    """
    # Tensors that share memory are refused by the library; clones share none.
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(apart, path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    write_through(path)
    path.chmod(0o644)  # the library leaves it readable for its owner only
    return _digest(path)


def optimizer_tensors(module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as ``<parameter name>/<state name>``."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(module: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of :func:`optimizer_tensors`; learning rate and other settings stay as they are."""
    parameters = dict(module.named_parameters())
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = {parameter: number for number, parameter in enumerate(trained)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, what = key.rpartition("/")
        parameter = parameters[name]
        placed = divided_like(value, parameter) if value.shape == parameter.shape else value
        state.setdefault(numbers[parameter], {})[what] = placed
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _file_name(group: str) -> str:
    return f"{group}.safetensors"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
