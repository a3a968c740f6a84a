"""A published model as what a run is built on: whoever fine-tunes has its directory, and not its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from svam_ros.artifacts.model_directory import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    ModelDirectoryError,
    open_model,
    resolve_model,
)
from svam_ros.artifacts.statistics_file import statistics_id
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.networks.config import TextConfig
from svam_train.episodes.statistics import IdentifiedStatistics
from svam_train.training.run_folder import RunError, read_json

CONFIGS_FOLDER = "training"
"""In a model directory: what every run that led to it noted, by its place in the line."""


def is_published(folder: Path) -> bool:
    """Whether it is a model directory; otherwise it is a run's folder, or nothing."""
    return (folder / MANIFEST_FILE).is_file()


def find_parent(named: Path) -> Path:
    """The folder of that path; where there is none, the model of that name that ships with the package."""
    if named.exists():
        return named
    try:
        return resolve_model(named)
    except ModelDirectoryError:
        return named


def verify_published(folder: Path) -> None:
    """Refuse a model that is not what was published.

    Raises:
        RunError: a file is missing or changed, or it is for another robot.
    """
    try:
        open_model(folder)
    except ModelDirectoryError as error:
        raise RunError(f"{folder}: cannot be built on: {error}") from error


def published_tokenizer(folder: Path, config: TextConfig) -> InstructionTokenizer:
    """The one that the model was trained with.

    Raises:
        RunError: it does not fit the text encoder.
    """
    text = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
    try:
        return InstructionTokenizer.from_json(text, config)
    except InstructionError as error:
        raise RunError(f"{folder / TOKENIZER_FILE}: {error}") from error


def published_statistics(folder: Path) -> IdentifiedStatistics:
    """Those that the model was trained with; of which data they are is known no more."""
    statistics = open_model(folder).statistics
    return IdentifiedStatistics(statistics, f"of model {folder.name}, {statistics_id(statistics)}")


def published_runs(folder: Path) -> list[dict[str, Any]]:
    """What the runs that led to the model noted, the last one first; of imported weights there is nothing.

    Raises:
        RunError: a file of them cannot be read.
    """
    paths = sorted((folder / CONFIGS_FOLDER).glob("*.json"), reverse=True)
    return [_noted_run(path) for path in paths]


def _noted_run(path: Path) -> dict[str, Any]:
    noted = read_json(path)
    try:
        return {"name": path.stem.partition("_")[2], "config": noted["config"], **noted["finished"]}
    except (KeyError, TypeError) as error:
        raise RunError(f"{path}: does not tell of a finished run ({error!r})") from error
