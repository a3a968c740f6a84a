"""Episodes: what was seen, measured and commanded, wherever it was recorded.

Numbers are in memory; pictures stay on disk until rows of them are asked for, so that thousands of
episodes need no more memory than a few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import Cobot, RobotProfile
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.types import FloatArray


class DataError(ValueError):
    """Data that must not be trained on; the text names the data set or episode, and says what to do."""


class CorruptShard(DataError):
    """A file of a data set is damaged; it is passed over only when the user says so."""


class Rows(Protocol):
    """``(n, ...)`` values, one row a picture, read when they are asked for. A numpy array is one too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array; the first entry is the number of rows."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """``(...,)`` row numbers, of any shape and order -> ``(..., *shape[1:])``."""


@dataclass(frozen=True)
class Episode:
    """One doing of a task.

    ``targets`` has one row per control step: row ``k`` is the joint target for ``k + 1`` control periods
    after the start. Picture ``f`` was taken about ``f * stride`` periods after the start: exactly there
    in simulation, ``lateness[f]`` periods later where a camera has a clock of its own.
    """

    identity: str
    """Unique in its data set and the same whatever else is in there."""
    task: str
    instruction: str
    stride: int
    """Control steps from one picture to the next."""
    images: Rows
    """``(n, size, size, 3)`` uint8 RGB, prepared as for the network."""
    joints: NDArray[np.float32]
    """``(n, 14)`` measured, as of each picture, rad and m."""
    targets: NDArray[np.float32]
    """``(steps, 14)`` commanded, rad and m."""
    lateness: NDArray[np.float64] | None = None
    """``(n,)`` control periods; ``None`` where every picture is punctual."""
    depth: Rows | None = None
    """``(n, grid, grid)`` float32, mean distance from the camera over each patch, m; simulation only."""
    segments: Rows | None = None
    """``(n, grid, grid, classes)`` float32, share of each patch that a class covers; simulation only."""
    points: Rows | None = None
    """``(n, grid, grid, 3)`` float32, mean place of each patch in the robot's frame, m; simulation only, and
    not in older recordings."""
    centres: NDArray[np.float32] | None = None
    """``(n, movable, 5)`` as of :func:`svam_train.episodes.scene_truth.centres_of`; simulation only, and not
    in older recordings."""
    scene: str | None = None
    """Shared with the episodes that began before the same things in the same places, which are held out
    together; ``None`` where that is not known: then it counts as the only one."""

    def __len__(self) -> int:
        """Pictures."""
        return len(self.joints)

    def chunks(self, pictures: NDArray[np.int64], horizon: int) -> FloatArray:
        """``(b, horizon, 14)`` targets, rad and m, due 1, 2, ... control periods after each picture.

        The last target is repeated past the end: the arms hold still.
        """
        steps = (pictures * self.stride)[:, None] + np.arange(horizon)
        last = len(self.targets) - 1
        if self.lateness is None:
            return self.targets[np.minimum(steps, last)].astype(np.float64)
        moments = np.clip(steps + self.lateness[pictures][:, None], 0, last)
        before = np.floor(moments).astype(np.int64)
        share = (moments - before)[..., None]
        after = np.minimum(before + 1, last)
        targets = self.targets.astype(np.float64)
        return (1.0 - share) * targets[before] + share * targets[after]


@dataclass(frozen=True)
class RobotFacts:
    """What the numbers and pictures of a data set are of; data of another robot is refused."""

    joint_names: tuple[str, ...]
    control_period_s: float
    camera_width: int
    camera_height: int
    camera_rate_hz: float
    lower: tuple[float, ...]
    """Of every joint, rad and m: numbers far outside are in other units."""
    upper: tuple[float, ...]

    @staticmethod
    def of(cobot: Cobot, profile: RobotProfile) -> RobotFacts:
        """The robot that this package drives."""
        camera = profile.camera
        return RobotFacts(
            joint_names=cobot.joint_names,
            control_period_s=cobot.control_period_s,
            camera_width=camera.width,
            camera_height=camera.height,
            camera_rate_hz=camera.rate_hz,
            lower=tuple(cobot.limits.lower.tolist()),
            upper=tuple(cobot.limits.upper.tolist()),
        )


@dataclass(frozen=True)
class LeftOut:
    """A part of a data set that is not used."""

    name: str
    """File or episode."""
    reason: str
    refused: bool = False
    """Something is wrong with it; otherwise it is left out on purpose."""


class Episodes(Protocol):
    """A data set. The order is that of the identities: the same wherever it is opened."""

    @property
    def name(self) -> str:
        """For reports: the folder's name and what of it."""

    @property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, over everything that can be read of it; pictures are read once for it."""

    @property
    def robot(self) -> RobotFacts:
        """Whose joints and camera."""

    @property
    def preparation(self) -> ImagePreparation:
        """How the pictures were prepared."""

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What lies in the folder and is not used, to be told to the user."""

    def __len__(self) -> int:
        """Episodes."""

    def __getitem__(self, index: int, /) -> Episode:
        """One of them; ``IndexError`` behind the last, so that they can be iterated over."""


@dataclass(frozen=True)
class EpisodeSet:
    """Episodes whose numbers are in memory."""

    name: str
    robot: RobotFacts
    preparation: ImagePreparation
    episodes: tuple[Episode, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.episodes, key=lambda episode: episode.identity))
        for episode, following in pairwise(ordered):
            if episode.identity == following.identity:
                raise DataError(f"{self.name}: two episodes are called '{episode.identity}'; rename one")
        object.__setattr__(self, "episodes", ordered)

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int, /) -> Episode:
        return self.episodes[index]

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`Episodes`."""
        digest = hashlib.sha256()
        for episode in self.episodes:
            digest.update(episode_digest(episode))
        return digest.hexdigest()


_DIGEST_ROWS = 64
"""Pictures in memory at a time while hashing."""


def episode_digest(episode: Episode) -> bytes:
    """sha256 over all that an episode holds: equal digests mean that training sees the same."""
    texts = (episode.identity, episode.task, episode.instruction, str(episode.stride))
    digest = hashlib.sha256("\0".join(texts).encode())
    given = (episode.joints, episode.targets, episode.lateness)
    for numbers in given if episode.centres is None else (*given, episode.centres):
        digest.update(b"-" if numbers is None else np.ascontiguousarray(numbers).tobytes())
    measured = (episode.images, episode.depth, episode.segments)
    for rows in measured if episode.points is None else (*measured, episode.points):
        digest.update(str(None if rows is None else rows.shape).encode())
        for first in range(0, 0 if rows is None else rows.shape[0], _DIGEST_ROWS):
            assert rows is not None
            part = np.arange(first, min(first + _DIGEST_ROWS, rows.shape[0]))
            digest.update(np.ascontiguousarray(rows[part]).tobytes())
    return digest.digest()
