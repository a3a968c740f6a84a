"""Model directories: opened only when every byte is the one that was saved, saved all or nothing.

``manifest.json``, ``weights.safetensors``, ``statistics.json``, ``tokenizer/tokenizer.json``, and
whatever else the manifest lists. ``engines/`` is the only part that may grow later (compiled engines,
which verify themselves). Nothing in here unpickles.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from svam_ros.artifacts.manifest import Manifest, ManifestError, manifest_from_json
from svam_ros.artifacts.network_loading import (
    WeightError,
    empty_network,
    give_weights,
    stored_weights,
    weight_shapes,
)
from svam_ros.artifacts.statistics_file import statistics_from_json, statistics_id
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.cobot import Cobot, load_cobot
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.svam import Svam
from svam_ros.shipped_files import shipped_directory

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
STATISTICS_FILE = "statistics.json"
TOKENIZER_FILE = "tokenizer/tokenizer.json"
ENGINES_FOLDER = "engines"

PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"})


class ModelDirectoryError(ValueError):
    """The directory is not a whole and unchanged model for this robot; the text says what is wrong."""


@dataclass(frozen=True)
class ModelDirectory:
    """A verified model directory."""

    path: Path
    manifest: Manifest
    statistics: Statistics
    tokenizer: InstructionTokenizer

    def load_network(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Svam:
        """The network with its weights, in evaluation mode.

        Weights that are stored in ``dtype`` are mapped into memory, not read into it; others are
        converted one by one. There are never two copies.

        Raises:
            ModelDirectoryError: a weight is not finite in ``dtype``, or the file changed since it was
                verified.
        """
        path = self.path / WEIGHTS_FILE
        try:
            return give_weights(empty_network(self.manifest.config), stored_weights(path, dtype, device))
        except WeightError as error:
            raise ModelDirectoryError(f"{path}: {error}") from error
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelDirectoryError(f"{path}: cannot be loaded: {error}") from error


def model_names() -> list[str]:
    """The model directories that ship with the package."""
    try:
        folder = shipped_directory("models")
    except FileNotFoundError:
        return []
    return sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST_FILE}"))


def ships_with_package(path: Path) -> bool:
    """Whether this is one of :func:`model_names`, whose folders belong to the installation."""
    return path.resolve() in {resolve_model(name).resolve() for name in model_names()}


def resolve_model(name_or_path: str | Path) -> Path:
    """A shipped model by its name, or any model directory by its path.

    Raises:
        ModelDirectoryError: neither; the text lists the models that ship with the package.
    """
    names = model_names()
    if str(name_or_path) in names:
        return shipped_directory("models") / str(name_or_path)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    hint = "".join(f", did you mean '{m}'?" for m in get_close_matches(str(name_or_path), names, 1))
    if str(name_or_path) in PRESETS:
        hint = "; it is a preset, which has weights only once it was trained or imported."
    raise ModelDirectoryError(
        f"'{name_or_path}' is neither a folder nor a model that ships with the package{hint or '.'} "
        f"Shipped: {', '.join(names) or 'none'}"
    )


def open_model(path: str | Path, cobot: Cobot | None = None, *, any_robot: bool = False) -> ModelDirectory:
    """Verify a model directory and open it.

    Args:
        path: the directory, or the name of a shipped one.
        cobot: the robot that the model must be for; the calibration's by default.
        any_robot: also open models that are for another robot, such as CALVIN's simulated arm.

    Raises:
        ModelDirectoryError: anything is missing, unlisted, changed, of another format, pickled, made for
            other joints, or open to changes by every user of the machine.
    """
    folder = resolve_model(path)
    manifest_text = _read_text(folder, MANIFEST_FILE)
    _refuse_pickles(folder)
    _refuse_writable_by_all(folder)
    try:
        manifest = manifest_from_json(manifest_text)
    except ManifestError as error:
        raise ModelDirectoryError(f"{folder / MANIFEST_FILE}: {error}") from error
    _verify_files(folder, manifest)
    try:
        statistics = statistics_from_json(_read_text(folder, STATISTICS_FILE))
    except ManifestError as error:
        raise ModelDirectoryError(f"{folder / STATISTICS_FILE}: {error}") from error
    try:
        tokenizer = InstructionTokenizer.from_json(_read_text(folder, TOKENIZER_FILE), manifest.config.text)
    except InstructionError as error:
        raise ModelDirectoryError(f"{folder / TOKENIZER_FILE}: {error}") from error
    _verify_statistics(folder, manifest, statistics)
    if not any_robot:
        _verify_robot(folder, manifest, cobot or load_cobot())
    verify_weights(folder / WEIGHTS_FILE, manifest.config)
    return ModelDirectory(folder, manifest, statistics, tokenizer)


def joint_units(cobot: Cobot) -> tuple[str, ...]:
    """``m`` for grippers, ``rad`` for every other joint."""
    return tuple("m" if i in cobot.gripper_indices else "rad" for i in range(len(cobot.joint_names)))


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def verify_weights(path: Path, config: SvamConfig) -> None:
    """Compare names and shapes in a safetensors file with what the configuration asks for.

    Raises:
        ModelDirectoryError: a tensor is missing, unknown, or of another shape.
    """
    expected = weight_shapes(config)
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelDirectoryError(f"{path}: no readable safetensors file: {error}") from error
    if missing := sorted(expected.keys() - found.keys()):
        raise ModelDirectoryError(f"{path}: {len(missing)} tensors are missing, such as '{missing[0]}'")
    if unknown := sorted(found.keys() - expected.keys()):
        raise ModelDirectoryError(f"{path}: {len(unknown)} tensors are unknown, such as '{unknown[0]}'")
    for name, shape in expected.items():
        if found[name] != shape:
            raise ModelDirectoryError(
                f"{path}: '{name}' has shape {found[name]}, the configuration asks for {shape}"
            )


def _read_text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelDirectoryError(f"{folder} is no model directory: it has no {name}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelDirectoryError(f"{folder / name}: cannot be read: {error}") from error


def _everything_in(folder: Path) -> list[Path]:
    """All files and folders below; not what a build of an engine has in hand, which comes and goes."""
    engines, found = folder / ENGINES_FOLDER, []
    for parent, folders, files in os.walk(folder):
        place = Path(parent)
        if place == engines:
            folders[:] = [name for name in folders if not name.startswith(".")]
        found += [place / name for name in (*folders, *files)]
    in_hand = (path for path in found if path.parent == engines and path.name.startswith("."))
    return sorted(path for path in set(found).difference(in_hand) if path.is_symlink() or path.exists())


def _refuse_pickles(folder: Path) -> None:
    for path in _everything_in(folder):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise ModelDirectoryError(
                f"{path} may hold pickled code and is refused: only safetensors are run. "
                f"Convert it, then remove it from the directory"
            )


def _refuse_writable_by_all(folder: Path) -> None:
    """As ssh does with keys: what any user may change between two looks is not worth verifying."""
    for path in (folder, *_everything_in(folder)):
        if not path.is_symlink() and path.stat().st_mode & stat.S_IWOTH:
            raise ModelDirectoryError(
                f"{path} may be changed by every user of this machine; run: chmod -R o-w {folder}"
            )


def _verify_files(folder: Path, manifest: Manifest) -> None:
    present = {
        path.relative_to(folder).as_posix()
        for path in _everything_in(folder)
        if not path.is_dir() and path.relative_to(folder).parts[0] != ENGINES_FOLDER
    } - {MANIFEST_FILE}
    listed = set(manifest.files)
    for name in (WEIGHTS_FILE, STATISTICS_FILE, TOKENIZER_FILE):
        if name not in listed:
            raise ModelDirectoryError(f"{folder / MANIFEST_FILE}: files does not list {name}")
    if missing := sorted(listed - present):
        raise ModelDirectoryError(f"{folder}: {missing[0]} is listed in the manifest but is not there")
    if unlisted := sorted(present - listed):
        raise ModelDirectoryError(f"{folder}: {unlisted[0]} is not listed in the manifest; remove it")
    for name, expected in manifest.files.items():
        path = folder / name
        if path.is_symlink() or (got := file_sha256(path)) != expected:
            found = "a link" if path.is_symlink() else f"sha256 {got}"
            raise ModelDirectoryError(
                f"{path} was changed or damaged: the manifest says sha256 {expected}, found {found}; "
                f"restore the directory"
            )


def _verify_statistics(folder: Path, manifest: Manifest, statistics: Statistics) -> None:
    if manifest.statistics_id != statistics_id(statistics):
        raise ModelDirectoryError(
            f"{folder}: the weights were trained with statistics {manifest.statistics_id}, "
            f"{STATISTICS_FILE} holds {statistics_id(statistics)}"
        )
    if len(statistics.relative_to_joints) != len(manifest.joint_names):
        raise ModelDirectoryError(
            f"{folder / STATISTICS_FILE}: {len(statistics.relative_to_joints)} dimensions "
            f"for {len(manifest.joint_names)} joints"
        )


def _verify_robot(folder: Path, manifest: Manifest, cobot: Cobot) -> None:
    if manifest.joint_names != cobot.joint_names:
        differing = [
            f"'{ours}' against '{theirs}'"
            for ours, theirs in zip(cobot.joint_names, manifest.joint_names, strict=False)
            if ours != theirs
        ]
        raise ModelDirectoryError(
            f"{folder}: the model's joints are not this robot's: "
            f"{differing[0] if differing else f'{len(manifest.joint_names)} joints'} "
            f"(calibration has {len(cobot.joint_names)} joints)"
        )
    if manifest.joint_units != joint_units(cobot):
        raise ModelDirectoryError(
            f"{folder}: joint_units are {manifest.joint_units}, the robot's are {joint_units(cobot)}"
        )
    if abs(manifest.step_s - cobot.control_period_s) > 1e-9:
        raise ModelDirectoryError(
            f"{folder}: the model steps every {manifest.step_s * 1e3:g} ms, "
            f"the robot every {cobot.control_period_s * 1e3:g} ms"
        )
