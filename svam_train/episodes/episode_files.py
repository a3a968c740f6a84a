"""One episode as one uncompressed ``.npz``: demonstrations from simulation, and what was imported.

Numbers are read at once, pictures and truths when they are asked for.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svam_ros.whole_files import whole_file
from svam_train.episodes.episodes import CorruptShard, Episode
from svam_train.episodes.stored_rows import stored_rows

_NUMBERS = ("task", "instruction", "stride", "joints", "targets")
_OPTIONAL = ("identity", "lateness", "centres")


def open_episode_file(path: Path) -> Episode:
    """Read the numbers of a file and check every byte of the rest against its checksum.

    The identity is the file's name without its ending, unless the file says another.

    Raises:
        CorruptShard: the file is damaged, or its arrays do not belong together.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise CorruptShard(f"{path}: '{broken}' in it is damaged; delete the file and make it again")
        with np.load(path, allow_pickle=False) as file:
            names = [*_NUMBERS, *(name for name in _OPTIONAL if name in file)]
            numbers: dict[str, NDArray[Any]] = {name: file[name] for name in names}
            in_simulation, has_points = "depth" in file, "points" in file
            scene = f"simulation {int(file['seed'])}" if "seed" in file else None
        episode = Episode(
            identity=str(numbers.get("identity", path.stem)),
            task=str(numbers["task"]),
            instruction=str(numbers["instruction"]),
            stride=int(numbers["stride"]),
            images=stored_rows(path, "images", np.dtype(np.uint8)),
            joints=numbers["joints"],
            targets=numbers["targets"],
            lateness=numbers.get("lateness"),
            depth=stored_rows(path, "depth", np.dtype(np.float32)) if in_simulation else None,
            segments=stored_rows(path, "segments", np.dtype(np.float32), 255.0) if in_simulation else None,
            points=stored_rows(path, "points", np.dtype(np.float32)) if has_points else None,
            centres=numbers.get("centres"),
            scene=scene,
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, CorruptShard):
            raise
        raise CorruptShard(
            f"{path}: no episode can be read from it ({error}); delete it and make it again"
        ) from error
    _check_lengths(path, episode)
    return episode


def write_episode_file(path: Path, episode: Episode) -> None:
    """Write an episode that was imported; the file appears whole or not at all.

    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    given = {name: getattr(episode, name) for name in (*_NUMBERS, *_OPTIONAL)}
    arrays = {name: np.array(value) for name, value in given.items() if value is not None}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, images=episode.images[np.arange(len(episode))], **arrays)


def _check_lengths(path: Path, episode: Episode) -> None:
    if episode.stride < 1:
        raise CorruptShard(f"{path}: stride is {episode.stride}, allowed is 1 and more")
    pictures = -(-len(episode.targets) // episode.stride)
    names = ("images", "joints", "lateness", "depth", "segments", "points")
    lengths = {name: getattr(episode, name) for name in names}
    for name, rows in lengths.items():
        if rows is not None and rows.shape[0] != pictures:
            raise CorruptShard(
                f"{path}: '{name}' has {rows.shape[0]} rows, {len(episode.targets)} control steps with a "
                f"picture every {episode.stride} mean {pictures}; delete the file and make it again"
            )
