"""Model directories are written beside their place and moved there whole: no reader sees half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from svam_ros.artifacts.manifest import Embodiment, Manifest, Provenance, manifest_to_json
from svam_ros.artifacts.model_directory import (
    MANIFEST_FILE,
    STATISTICS_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ModelDirectory,
    ModelDirectoryError,
    file_sha256,
    joint_units,
    open_model,
)
from svam_ros.artifacts.statistics_file import statistics_id, statistics_to_json
from svam_ros.artifacts.tokenizer import InstructionTokenizer
from svam_ros.cobot import Cobot, load_cobot
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation

Precision = Literal["float16", "float32", "as_stored"]
"""Of stored weights; ``as_stored`` leaves every tensor in the precision that it is in."""

_DTYPES = {"float16": torch.float16, "float32": torch.float32, "as_stored": None}


@dataclass(frozen=True)
class ModelContents:
    """Everything that makes a model directory."""

    network: Svam
    """Weights and configuration; its video head, where there is one, is left out."""
    statistics: Statistics
    """Those that the network was trained with."""
    tokenizer: InstructionTokenizer
    """The one that the network was trained with."""
    preset: str
    """The preset that the configuration started from."""
    image: ImagePreparation
    """How frames were prepared in training."""
    provenance: Provenance
    """How the weights came to be."""
    documents: dict[str, str] = field(default_factory=dict)
    """Further text files by name, such as a model card."""
    embodiment: Embodiment | None = None
    """What the actions are; ``None``: the joints of the Cobot."""
    measured_weights: str | None = None
    """sha256 of the stored weights that the results in here were measured on, where there are results."""


def save_model(
    path: Path,
    contents: ModelContents,
    *,
    precision: Precision = "float16",
    cobot: Cobot | None = None,
) -> ModelDirectory:
    """Write a model directory, verify it, and put it in place of whatever stood at ``path``.

    Args:
        path: the directory; its last part becomes the model's name.
        contents: what goes into it.
        precision: of the stored weights.
        cobot: the robot; the calibration's by default.

    Raises:
        ModelDirectoryError: a weight is not finite in the stored precision, the results were measured on
            other weights, or ``path`` is something other than a model directory. What stood at ``path`` is
            untouched then.
    """
    path = Path(path)
    cobot = cobot or load_cobot()
    refuse_other_folders(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        _write_weights(staging / WEIGHTS_FILE, contents.network, _DTYPES[precision])
        texts = {
            STATISTICS_FILE: statistics_to_json(contents.statistics),
            TOKENIZER_FILE: contents.tokenizer.to_json(),
        }
        _write_texts(staging, texts | contents.documents)
        files = _hashes(staging)
        _refuse_results_of_others(contents, files[WEIGHTS_FILE])
        manifest = _manifest(path.name, contents, cobot, files)
        _write_texts(staging, {MANIFEST_FILE: manifest_to_json(manifest)})
        verified = open_model(staging, cobot, any_robot=contents.embodiment is not None)
        _refuse_not_finite(staging / WEIGHTS_FILE)
        staging.chmod(0o755)
        move_into_place(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(verified, path=path)


def copy_model(model: ModelDirectory, path: Path) -> ModelDirectory:
    """A model directory's files at ``path``, without its engines.

    A copy that stands there already stays as it is, engines and all; another model is replaced.

    Raises:
        ModelDirectoryError: ``path`` is something other than a model directory, or lies in the model itself.
    """
    refuse_other_folders(path)
    if path.resolve().is_relative_to(model.path.resolve()):
        raise ModelDirectoryError(f"{path} lies in the model that is to be copied: choose another place")
    standing = _standing_copy(model, path)
    if standing is not None:
        return standing
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name in model.manifest.files:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model.path / name, staging / name)
        _write_texts(staging, {MANIFEST_FILE: manifest_to_json(replace(model.manifest, engines={}))})
        for copied in (staging, *staging.rglob("*")):
            copied.chmod(0o755 if copied.is_dir() else 0o644)
        verified = open_model(staging, any_robot=True)
        move_into_place(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(verified, path=path)


def _standing_copy(model: ModelDirectory, path: Path) -> ModelDirectory | None:
    try:
        standing = open_model(path, any_robot=True)
    except ModelDirectoryError:
        return None
    same = replace(standing.manifest, engines={}) == replace(model.manifest, engines={})
    return standing if same else None


def refuse_other_folders(path: Path) -> None:
    """A model may stand in place of another model, of nothing else.

    Raises:
        ModelDirectoryError: ``path`` is something other than a model directory.
    """
    if path.exists() and not (path / MANIFEST_FILE).is_file():
        raise ModelDirectoryError(f"{path} exists and is no model directory: choose another place")


def _refuse_results_of_others(contents: ModelContents, weights: str) -> None:
    if contents.measured_weights not in (None, weights):
        raise ModelDirectoryError(
            f"the results that are to go with it were measured on the weights {contents.measured_weights}, "
            f"these are {weights}: publish it without results, evaluate it, and publish it again with them"
        )


def _cobot_embodiment(cobot: Cobot) -> Embodiment:
    """Actions that are joint targets of the robot."""
    return Embodiment(cobot.joint_names, joint_units(cobot), cobot.control_period_s)


def _manifest(name: str, contents: ModelContents, cobot: Cobot, files: dict[str, str]) -> Manifest:
    embodiment = contents.embodiment or _cobot_embodiment(cobot)
    return Manifest(
        name=name,
        preset=contents.preset,
        config=contents.network.config,
        image=contents.image,
        joint_names=embodiment.joint_names,
        joint_units=embodiment.joint_units,
        step_s=embodiment.step_s,
        statistics_id=statistics_id(contents.statistics),
        provenance=contents.provenance,
        files=files,
    )


def _write_weights(path: Path, network: Svam, dtype: torch.dtype | None) -> None:
    weights = {
        name: t.detach().to("cpu", dtype or t.dtype) for name, t in network.run_time_state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    path.chmod(0o644)  # safetensors writes for the owner only; a model is for everyone on the robot


def _refuse_not_finite(path: Path) -> None:
    """Look at the stored weights one by one: the network may be too large to load it here."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            if not torch.isfinite(file.get_tensor(name)).all():
                raise ModelDirectoryError(f"{path}: '{name}' has values that are not finite")


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def move_into_place(staging: Path, path: Path) -> None:
    """Rename a model directory within one file system.

    A directory that stood there is moved aside first and comes back if the rename fails.
    """
    if not path.exists():
        os.replace(staging, path)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.replace(path, aside)
    try:
        os.replace(staging, path)
    except OSError:
        os.replace(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)
