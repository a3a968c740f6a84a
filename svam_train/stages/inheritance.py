"""What a run takes over from the runs that it was built on, and those from theirs.

At the end of the line there may be a published model instead of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from svam_ros.artifacts import model_directory
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.networks.config import TextConfig
from svam_train.stages.published_parent import is_published, verified_model
from svam_train.training.run_folder import PARENT_FILE, RunError, load_weights, read_json, weights_hash

TOKENIZER_FILE = "tokenizer.json"
"""In the folder of a run that trained a text encoder: how its instructions became ids."""
STATISTICS_FILE = "statistics.json"
"""In the folder of a run of the actions: how its joints and actions were normalised."""


def lineage(run: Path) -> Iterator[Path]:
    """The finished run, then those that it was built on, the nearest first.

    Raises:
        RunError: one of them is not there any more, or hands on something else than when it was built on; a
            model is not as it was published.
    """
    waiting, seen = [(run, "")], set()
    while waiting:
        folder, sha256 = waiting.pop(0)
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        if sha256 and weights_hash(folder) != sha256:
            raise RunError(
                f"{folder}: was trained again, or replaced, since a run was built on it; build that run "
                f"anew, or bring the old one back"
            )
        if is_published(folder):
            verified_model(folder)
        yield folder
        if (folder / PARENT_FILE).is_file():
            parents = read_json(folder / PARENT_FILE).values()
            waiting += [(Path(parent["run"]), parent["sha256"]) for parent in parents]


def inherited_weights(run: Path) -> dict[str, Tensor]:
    """What the run and those that it was built on hand on, by name; the nearest run has the last word.

    Raises:
        RunError: a run is not finished, not there, or changed.
    """
    weights: dict[str, Tensor] = {}
    for folder in lineage(run):
        weights = {**load_weights(folder), **weights}
    return weights


def inherited_tokenizer(run: Path, config: TextConfig) -> InstructionTokenizer:
    """The tokenizer that the text encoder was trained with, from the nearest run that holds it.

    Raises:
        RunError: no run holds it, or it does not fit the text encoder.
    """
    for folder in lineage(run):
        path = folder / (model_directory.TOKENIZER_FILE if is_published(folder) else TOKENIZER_FILE)
        if path.is_file():
            try:
                return InstructionTokenizer.from_json(path.read_text(encoding="utf-8"), config)
            except InstructionError as error:
                raise RunError(f"{path}: {error}") from error
    raise RunError(
        f"{run}: neither it nor a run that it was built on holds {TOKENIZER_FILE}: copy there the one that "
        f"the text encoder was trained with"
    )
