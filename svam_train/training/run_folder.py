"""A run's folder: what was asked for, what it was built on, and where everything of it lies.

::

    config.json              every number of the run; it can be resumed with the same ones only
    parent.json              the runs that it was built on, with a hash of what they handed over
    metrics.jsonl            a line every few steps
    tensorboard/             the same for TensorBoard
    pictures/step_000500/    sample pictures
    checkpoints/step_000500/ what it takes to go on from there
    weights.safetensors      what is handed on, once the run is finished
    finished.json            steps, time and machine of the finished run
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import file_digest
from pathlib import Path
from typing import Any

import cv2
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from svam_ros.whole_files import write_whole_text
from svam_train.recipes.training_settings import CHANGEABLE_ON_RESUME
from svam_train.training.objective import ImageArray

CONFIG_FILE = "config.json"
PARENT_FILE = "parent.json"
WEIGHTS_FILE = "weights.safetensors"
FINISHED_FILE = "finished.json"

logger = logging.getLogger(__name__)


class RunError(ValueError):
    """A run cannot be started, resumed, used or go on; the text names the folder and what to do."""


@dataclass(frozen=True)
class RunFolder:
    """One run of one stage.

    Args:
        path: the folder; of a run on several machines, on a file system that all of them see.
        config: the resolved recipe: a dataclass, or a mapping of plain values.
        parents: folders of the finished runs that this one starts from, by what they are to it.
    """

    path: Path
    config: Any
    parents: Mapping[str, Path] = field(default_factory=dict)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The lines of metrics."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The metrics as TensorBoard reads them."""
        return self.path / "tensorboard"

    @property
    def weights(self) -> Path:
        """What the finished run hands on."""
        return self.path / WEIGHTS_FILE

    def begin(self, *, resume: bool) -> None:
        """Write down what the run is, or make sure that it is the one that was started here.

        A folder without a run can be resumed too: then it starts there. So a command with ``--resume`` may
        be repeated however early the last attempt ended.

        Raises:
            RunError: there is a run and ``resume`` is off; or it was started with another config or other
                parents, which are named; or a parent is not finished.
        """
        config, parents = plain(self.config), self._parents()
        if (self.path / CONFIG_FILE).exists():
            if not resume:
                raise RunError(
                    f"{self.path}: a run was started here already; add --resume, or use another folder"
                )
            self._compare(CONFIG_FILE, config, CHANGEABLE_ON_RESUME)
            self._compare(PARENT_FILE, parents, frozenset())
        self.path.mkdir(parents=True, exist_ok=True)
        # The config comes last: where it lies, the rest is there.
        write_json(self.path / PARENT_FILE, parents)
        write_json(self.path / CONFIG_FILE, config)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block no other process can train in this folder.

        A process that dies lets go. Where the file system has no locks, nothing is held.

        Raises:
            RunError: another process does it now.
        """
        with (self.path / "lock").open("w") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError as error:
                raise RunError(
                    f"{self.path}: another process is training here; wait for its end, or use another folder"
                ) from error
            except OSError as error:
                logger.warning("%s: not locked against a second process (%s)", self.path, error)
            yield

    def save_pictures(self, step: int, pictures: Mapping[str, ImageArray]) -> None:
        """Write sample pictures (height, width, 3) RGB as PNG.

        Raises:
            OSError: one could not be written.
        """
        folder = self.path / "pictures" / step_name(step)
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            path = folder / f"{name}.png"
            path.write_bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())

    def _parents(self) -> dict[str, Any]:
        return {
            role: {"run": str(folder), "sha256": weights_hash(folder)}
            for role, folder in self.parents.items()
        }

    def _compare(self, name: str, ours: dict[str, Any], changeable: frozenset[str]) -> None:
        path = self.path / name
        theirs = read_json(path)
        differing = [
            f"{field} ({there} there, {here} now)"
            for field, there, here in differences(theirs, ours)
            if field.rpartition(".")[2] not in changeable
            and not (name == PARENT_FILE and field.endswith(".run"))
        ]
        if differing:
            raise RunError(
                f"{path}: the run was started with other values of {', '.join(differing)}; resume it with "
                f"the same ones, or start a new run in another folder"
            )


def load_weights(folder: Path) -> dict[str, Tensor]:
    """What the finished run in ``folder`` hands on, on the CPU.

    Raises:
        RunError: the run is not finished, or its file cannot be read.
    """
    path = _finished_weights(folder)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); resume the run to have it written again"
        ) from error


def load_config(folder: Path) -> dict[str, Any]:
    """The resolved config that the run in ``folder`` was started with, as plain values.

    Raises:
        RunError: there is no run, or its config cannot be read.
    """
    return read_json(folder / CONFIG_FILE)


def weights_hash(folder: Path) -> str:
    """SHA-256 of what the finished run in ``folder`` hands on.

    Raises:
        RunError: the run is not finished.
    """
    with _finished_weights(folder).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def step_name(step: int) -> str:
    """Name of a folder that belongs to a step; names sort as steps do up to a million."""
    return f"step_{step:06d}"


def plain(config: Any) -> dict[str, Any]:
    """A config as JSON reads it back: mappings, lists, numbers, texts."""
    values = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config
    read: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return read


def differences(there: Any, here: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted names of the fields that differ, with both values; one that is missing is None."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in {**there, **here}:
            yield from differences(there.get(key), here.get(key), f"{name}.{key}" if name else key)
    elif there != here:
        yield name, there, here


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a file in one move, safe against a kill."""
    write_whole_text(path, json.dumps(values, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read an object.

    Raises:
        RunError: it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: holds no object of named values")
    return values


def _finished_weights(folder: Path) -> Path:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise RunError(
            f"{path}: there is none: the run is not finished, and has to be resumed to its end first; or the "
            f"folder was moved or removed, and has to be brought back"
        )
    return path
