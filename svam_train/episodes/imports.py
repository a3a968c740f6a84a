"""Imported episodes are kept as our own files, so that videos and messages are decoded once.

Random access into a video costs ten milliseconds a picture, into a file of ours microseconds. The
folder can be deleted at any time; it is filled again when the data is opened next.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.episode_files import open_episode_file, write_episode_file
from svam_train.episodes.episodes import CorruptShard, DataError, Episode, RobotFacts

FOLDER = ".svam_imported"
"""In the folder of the data, if no other place is given."""

FORMAT = 1
"""Counts up when the same source would be imported otherwise than before."""


@dataclass(frozen=True)
class ImportSettings:
    """What an imported episode depends on, beside its source."""

    preparation: ImagePreparation
    robot: RobotFacts
    stride: int
    camera: str | None

    @property
    def key(self) -> str:
        """Short hash: another one, another folder."""
        return _hashed({"format": FORMAT, **asdict(self)})


class Imports:
    """The folder of imported episodes for one set of settings."""

    def __init__(self, folder: Path, settings: ImportSettings) -> None:
        self._folder = folder / settings.key

    def path(self, identity: str, sources: Sequence[Path]) -> Path:
        """Where the episode lies once it is imported: elsewhere when a source file has changed.

        Raises:
            CorruptShard: a source file is not there.
        """
        try:
            states = [(source.name, (stat := source.stat()).st_size, stat.st_mtime_ns) for source in sources]
        except OSError as error:
            raise CorruptShard(f"'{identity}': {error}") from error
        readable = re.sub(r"[^A-Za-z0-9_.-]", "_", identity)
        return self._folder / f"{readable}-{_hashed([identity, *states])}.npz"

    def fetch(self, identity: str, sources: Sequence[Path], make: Callable[[], Episode]) -> Episode:
        """The episode from its file, which is made first where it is missing or damaged.

        Raises:
            DataError: the source is not to be trained on, or the folder cannot be written.
        """
        path = self.path(identity, sources)
        if path.exists():
            try:
                return open_episode_file(path)
            except CorruptShard:  # ours, not the user's: made anew below
                path.unlink()
        episode = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_episode_file(path, episode)
        except OSError as error:
            raise DataError(
                f"{path}: imported pictures cannot be kept here ({error}); make room, or name another folder "
                f"(--cache; in a stage --data.source.cache)"
            ) from error
        return open_episode_file(path)


def _hashed(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
