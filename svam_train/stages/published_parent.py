"""A published model as what a run is built on: whoever fine-tunes has its directory, and not its runs."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from svam_ros.artifacts.model_directory import (
    MANIFEST_FILE,
    ModelDirectory,
    ModelDirectoryError,
    open_model,
    resolve_model,
)
from svam_ros.artifacts.statistics_file import statistics_id
from svam_ros.networks.config import SvamConfig
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.statistics import IdentifiedStatistics
from svam_train.training.run_folder import RunError, read_json

CONFIGS_FOLDER = "training"
"""In a model directory: what every run that led to it noted, by its place in the line."""


def is_published(folder: Path) -> bool:
    """Whether it is a model directory; otherwise it is a run's folder, or nothing."""
    return (folder / MANIFEST_FILE).is_file()


def find_parent(named: Path) -> Path:
    """The model of that name that ships with the package, or the folder of that path: as for any ``--model``.

    Raises:
        RunError: neither.
    """
    try:
        return resolve_model(named)
    except ModelDirectoryError as error:
        raise RunError(f"--parent is to be a finished run's folder or a model directory: {error}") from error


def check_fits(folder: Path, config: SvamConfig, image: ImagePreparation) -> None:
    """Refuse a model that saw its pictures otherwise, or is of another network.

    Args:
        folder: the model directory.
        config: of the recipe; horizon and prefixes of the action expert may differ.
        image: how the data's pictures were prepared.

    Raises:
        RunError: it is such a model; the text says what differs.
    """
    manifest = verified_model(folder).manifest
    if manifest.image != image:
        raise RunError(f"{folder}: saw pictures as {manifest.image}, these are {image}: see --data.crop")
    theirs = replace(manifest.config, action_expert=config.action_expert)
    if theirs != config:
        other = [f.name for f in fields(config) if getattr(theirs, f.name) != getattr(config, f.name)]
        raise RunError(f"{folder}: is of another network, see {', '.join(other)}: name its --config")


def verified_model(folder: Path) -> ModelDirectory:
    """The model, if it is what was published.

    Raises:
        RunError: a file is missing or changed, or it is for another robot.
    """
    try:
        return open_model(folder)
    except ModelDirectoryError as error:
        raise RunError(f"{folder}: cannot be built on: {error}") from error


def published_statistics(folder: Path) -> IdentifiedStatistics:
    """Those that the model was trained with; of which data they are is known no more."""
    statistics = verified_model(folder).statistics
    return IdentifiedStatistics(statistics, f"of a model, {statistics_id(statistics)}")


def published_name(folder: Path) -> str:
    """The model's name, whatever its folder is called now."""
    return verified_model(folder).manifest.name


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
        finished = {name: noted["finished"][name] for name in ("steps", "trained_s", "machine")}
        return {"name": path.stem.partition("_")[2], "config": noted["config"], **finished}
    except (KeyError, TypeError) as error:
        raise RunError(f"{path}: does not tell of a finished run ({error!r})") from error
