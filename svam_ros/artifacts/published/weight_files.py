"""Weight files as they are published: single files, folders, shards, pickles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from svam_ros.artifacts.model_directory import PICKLE_SUFFIXES
from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.artifacts.published.unpickling import unpickle

WEIGHT_NAMES = (
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
)
"""What diffusers and transformers call the weights in a folder, best first; shards have an index."""


def find_weight_files(place: Path, option: str) -> tuple[Path, ...]:
    """The file itself, or the weight files of a folder, shards in their order.

    Raises:
        PublishedCheckpointError: there are none, a shard is missing, or the file's ending is unknown.
    """
    if place.is_file():
        if place.suffix != ".safetensors" and place.suffix not in PICKLE_SUFFIXES:
            known = ", ".join([".safetensors", *sorted(PICKLE_SUFFIXES)])
            raise PublishedCheckpointError(f"{option} {place}: unknown ending; known are {known}")
        return (place,)
    if not place.is_dir():
        raise PublishedCheckpointError(f"{option} {place}: there is no such file or folder")
    for name in WEIGHT_NAMES:
        if (index := place / f"{name}.index.json").is_file():
            return _shards(index, option)
        if (place / name).is_file():
            return (place / name,)
    raise PublishedCheckpointError(
        f"{option} {place}: no weights in this folder; known names are {WEIGHT_NAMES}"
    )


def has_weights(folder: Path) -> bool:
    """Whether a folder has weights under one of the known names."""
    return any(
        (folder / name).is_file() or (folder / f"{name}.index.json").is_file() for name in WEIGHT_NAMES
    )


def read_tensors(
    files: tuple[Path, ...], workspace: Path, advance: Callable[[int], None]
) -> dict[str, Tensor]:
    """All tensors of all files, mapped into memory, not read.

    Args:
        files: from :func:`find_weight_files`.
        workspace: an existing folder for the safetensors copies of pickled files; must outlive the tensors.
        advance: called with bytes unpickled.

    Raises:
        PublishedCheckpointError: a file is broken or refused, or two hold a tensor of the same name.
    """
    tensors: dict[str, Tensor] = {}
    for file in files:
        readable = file
        if file.suffix in PICKLE_SUFFIXES:
            folder = workspace / f"unpickled-{len(list(workspace.iterdir()))}"
            folder.mkdir()
            readable = folder / "tensors.safetensors"
            unpickle(file, readable, advance)
        try:
            part = load_file(readable)
        except (OSError, SafetensorError) as error:
            raise PublishedCheckpointError(f"{file}: no readable safetensors file: {error}") from error
        if twice := sorted(part.keys() & tensors.keys()):
            raise PublishedCheckpointError(f"{file}: '{twice[0]}' is in another shard too")
        tensors |= part
    return tensors


def bytes_to_unpickle(files: tuple[Path, ...]) -> int:
    """How much of the files has to go through the quarantine."""
    return sum(file.stat().st_size for file in files if file.suffix in PICKLE_SUFFIXES)


def _shards(index: Path, option: str) -> tuple[Path, ...]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        names = sorted(set(content["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishedCheckpointError(f"{option} {index}: no index of shards ({error!r})") from error
    files = tuple(index.parent / str(name) for name in names)
    for file in files:
        if file.parent != index.parent or not file.is_file():
            raise PublishedCheckpointError(f"{option} {index}: shard '{file.name}' is not beside it")
    return files


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
