"""Published files to a model directory, all or nothing."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from torch import Tensor

from svam_ros.artifacts.manifest import Provenance
from svam_ros.artifacts.model_directory import ModelDirectory, file_sha256
from svam_ros.artifacts.model_saving import (
    ModelContents,
    Precision,
    move_into_place,
    refuse_other_folders,
    save_model,
)
from svam_ros.artifacts.network_loading import empty_network, weight_shapes
from svam_ros.artifacts.published.clip_tokenizer import (
    cached_clip_folder,
    read_clip_tokenizer,
    tokenizer_files,
)
from svam_ros.artifacts.published.conversion import PublishedCheckpointError, convert_group
from svam_ros.artifacts.published.model_card import model_card
from svam_ros.artifacts.published.robots import preset_robot
from svam_ros.artifacts.published.sources import ChosenGroup, choose_groups
from svam_ros.artifacts.published.trained_settings import Horizons, with_horizons
from svam_ros.artifacts.published.weight_files import (
    bytes_to_unpickle,
    find_weight_files,
    has_weights,
    read_tensors,
)
from svam_ros.artifacts.published.workspace import check_room, import_workspace
from svam_ros.artifacts.published.written_settings import check_written_settings
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.normalization import Statistics

BYTES_PER_WEIGHT = {"float16": 2, "float32": 4, "as_stored": 4}
SPARE_BYTES = 64 << 20
"""Room for everything but weights: tokenizer, manifest, the file system's own."""


class Progress(Protocol):
    """Told what is going on; both are in bytes."""

    def begin(self, what: str, total_bytes: int) -> None:
        """A stage begins."""

    def advance(self, done_bytes: int) -> None:
        """Some more of the stage is done."""


@dataclass(frozen=True)
class PublishedFiles:
    """Where the published files are; folders or files. ``None``: taken from the action checkpoint."""

    unet: Path
    """Folder of the video diffusion model, or of its UNet alone."""
    action: Path
    vae: Path | None = None
    """Folder of its autoencoder; ``None``: beside the UNet."""
    clip: Path | None = None
    """Folder of CLIP's tokenizer, and of its text model if that is not to come from ``action``.

    ``None``: the tokenizer is looked for beside the UNet, then in the Hugging Face cache of this machine.
    """
    semantic: Path | None = None
    geometric: Path | None = None
    dinov2: Path | None = None
    da3: Path | None = None

    def tokenizer_folder(self) -> Path:
        """Where CLIP's tokenizer is.

        Raises:
            PublishedCheckpointError: no folder was given, and there is none in the usual places.
        """
        if self.clip is not None:
            return self.clip
        beside = self.unet / "tokenizer"
        return beside if beside.is_dir() else cached_clip_folder()

    def weight_files(self) -> dict[str, tuple[Path, ...]]:
        """Option -> weight files, for every file that is to be read.

        Raises:
            PublishedCheckpointError: one of them is not there.
        """
        places: dict[str, Path | None] = {
            "unet": _inside(self.unet, "unet"),
            "vae": _inside(self.vae or self.unet, "vae"),
            "action": self.action,
            "clip": self.clip if self.clip and has_weights(self.clip) else None,
            "semantic": self.semantic,
            "geometric": self.geometric,
            "dinov2": self.dinov2,
            "da3": self.da3,
        }
        return {option: find_weight_files(place, f"--{option}") for option, place in places.items() if place}


@dataclass(frozen=True)
class PublishedImport:
    """What is to be imported."""

    files: PublishedFiles
    preset: str
    config: SvamConfig
    """The preset's, with the switches that were set; horizons are taken from the files."""
    out: Path
    precision: Precision
    statistics: Statistics | None
    """Of the data that the action expert was trained on, where the preset has none."""
    command: str
    """What was typed, for the record."""
    horizons: Horizons = field(default_factory=Horizons)
    """Numbers of actions that were typed."""


def import_published(wanted: PublishedImport, progress: Progress) -> tuple[ModelDirectory, list[str]]:
    """Read, convert, verify and write.

    Returns:
        The model directory and sentences of warning.

    Raises:
        PublishedCheckpointError: anything does not fit; the text says all that is wrong.
        ModelDirectoryError: ``out`` is something else than a model directory, or a weight cannot be
            stored in the precision asked for.
    """
    refuse_other_folders(wanted.out)
    files = wanted.files.weight_files()
    statistics = _statistics(wanted)
    tokenizer_folder = wanted.files.tokenizer_folder()
    tokenizer = read_clip_tokenizer(tokenizer_folder, wanted.config.text)
    if differing := check_written_settings(files, wanted.config):
        raise PublishedCheckpointError(_not_the_preset(wanted.preset, differing))
    with import_workspace(wanted.out) as workspace:
        check_room(workspace, _needed_bytes(wanted, files))
        progress.begin("unpickling in quarantine", sum(bytes_to_unpickle(f) for f in files.values()))
        tensors = {
            option: read_tensors(paths, workspace, progress.advance) for option, paths in files.items()
        }
        chosen, warnings = choose_groups(tensors)
        wanted = replace(
            wanted, config=with_horizons(wanted.config, chosen["model"].tensors, wanted.horizons)
        )
        weights = _convert(chosen, wanted, progress)
        robot = preset_robot(wanted.preset, wanted.config.image_encoder.image_size)
        sources = _hash_sources(files, tokenizer_folder, progress)
        network = empty_network(wanted.config)
        network.load_state_dict(weights, strict=True, assign=True)
        contents = ModelContents(
            network=network,
            statistics=statistics,
            tokenizer=tokenizer,
            preset=wanted.preset,
            image=robot.image,
            provenance=_provenance(wanted.command, sources),
            documents={
                "README.md": model_card(wanted.out.name, wanted.preset, wanted.config, sources, warnings)
            },
            embodiment=robot.embodiment,
        )
        progress.begin("writing and verifying", 0)
        model = save_model(workspace / "model" / wanted.out.name, contents, precision=wanted.precision)
        move_into_place(model.path, wanted.out)
    return replace(model, path=wanted.out), warnings


def _convert(
    chosen: dict[str, ChosenGroup], wanted: PublishedImport, progress: Progress
) -> dict[str, Tensor]:
    """All groups; every group is looked at before anything is refused."""
    progress.begin(
        "checking and converting", sum(t.nbytes for group in chosen.values() for t in group.tensors.values())
    )
    weights: dict[str, Tensor] = {}
    problems: list[str] = []
    for name, group in chosen.items():
        try:
            weights |= convert_group(name, group.tensors, wanted.config)
        except PublishedCheckpointError as error:
            problems.append(f"--{group.option}: {error}")
        progress.advance(sum(t.nbytes for t in group.tensors.values()))
    if problems:
        raise PublishedCheckpointError(_not_the_preset(wanted.preset, problems))
    return weights


def _not_the_preset(preset: str, problems: list[str]) -> str:
    return f"these files do not fit preset '{preset}', nothing was written:\n  " + "\n  ".join(problems)


def _statistics(wanted: PublishedImport) -> Statistics:
    of_preset = preset_robot(wanted.preset, wanted.config.image_encoder.image_size).statistics
    if wanted.statistics is not None and of_preset is not None:
        raise PublishedCheckpointError(
            f"--statistics: preset '{wanted.preset}' has its own; its actions need no normalisation"
        )
    statistics = wanted.statistics or of_preset
    if statistics is None:
        raise PublishedCheckpointError(
            f"preset '{wanted.preset}' needs --statistics: how the actions that the expert was trained on "
            f"were normalised (statistics.json of a model directory shows the form)"
        )
    dimensions = len(statistics.relative_to_joints)
    if dimensions != wanted.config.action_expert.action_dim:
        raise PublishedCheckpointError(
            f"--statistics: they are of {dimensions} values, an action of preset '{wanted.preset}' has "
            f"{wanted.config.action_expert.action_dim}"
        )
    return statistics


def _needed_bytes(wanted: PublishedImport, files: dict[str, tuple[Path, ...]]) -> int:
    """What the import writes at most: copies of the pickled files, and the model."""
    weights = sum(_elements(shape) for shape in weight_shapes(wanted.config).values())
    unpickled = sum(bytes_to_unpickle(paths) for paths in files.values())
    return unpickled + weights * BYTES_PER_WEIGHT[wanted.precision] + SPARE_BYTES


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _hash_sources(
    files: dict[str, tuple[Path, ...]], tokenizer_folder: Path, progress: Progress
) -> dict[str, str]:
    named = {option: list(paths) for option, paths in files.items()}
    named.setdefault("clip", []).extend(tokenizer_files(tokenizer_folder))
    every = [(f"{option}/{path.name}", path) for option, paths in named.items() for path in paths]
    progress.begin("hashing the source files", sum(path.stat().st_size for _, path in every))
    hashes = {}
    for name, path in every:
        hashes[name] = file_sha256(path)
        progress.advance(path.stat().st_size)
    return hashes


def _provenance(command: str, sources: dict[str, str]) -> Provenance:
    return Provenance(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=command,
        data="published checkpoints; see sources",
        seed=0,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "diffusers", "transformers", "safetensors")},
        },
        results={},
        sources=sources,
    )


def _inside(place: Path, name: str) -> Path:
    """The part of a diffusers folder, or the folder itself where it is that part."""
    return place / name if (place / name).is_dir() else place
