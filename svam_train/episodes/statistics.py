"""Statistics that say which data they are of.

``statistics_id`` of :mod:`svam_ros.artifacts.statistics_file` is of the numbers alone, and is what keeps
weights and numbers of a model directory together. The identity here is of the numbers and of the data
they were computed from: it keeps a run and its data together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from dacite import Config, DaciteError, from_dict

from svam_ros.networks.normalization import AffineNormalization, Statistics, fit_normalization
from svam_ros.types import FloatArray
from svam_train.episodes.episodes import DataError, Episodes

SMALLEST_SCALE = 0.02
"""rad and m: a joint that hardly moves is not blown up to the whole range."""


@dataclass(frozen=True)
class IdentifiedStatistics:
    """Statistics and the fingerprint of the episodes they were computed from."""

    statistics: Statistics
    data: str
    """:attr:`Episodes.fingerprint`."""

    @cached_property
    def id(self) -> str:
        """sha256, hexadecimal, over the numbers and the data's fingerprint."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def check(self, episodes: Episodes) -> None:
        """Refuse to train with the statistics of other data.

        Raises:
            DataError: they are not those of ``episodes``.
        """
        if self.data != episodes.fingerprint:
            raise DataError(
                f"{episodes.name}: the statistics {self.id[:12]} were computed from other data (fingerprint "
                f"{self.data[:12]}, this is {episodes.fingerprint[:12]}): train on that data, or compute "
                f"them anew and train from the first step"
            )

    def to_json(self) -> str:
        """The text of a run's ``statistics.json``."""
        return json.dumps({"id": self.id, **asdict(self)}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> IdentifiedStatistics:
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: an entry is missing, unknown or wrong, or the identity is not that of the contents.
        """
        try:
            raw = dict(json.loads(text))
            said = raw.pop("id", None)
            config = Config(strict=True, cast=[tuple], type_hooks={float: float})
            read = from_dict(IdentifiedStatistics, raw, config)
        except (DaciteError, TypeError, ValueError) as error:
            raise DataError(f"no statistics of a run: {error}") from error
        if said != read.id:
            raise DataError(f"statistics say they are {said!r}, but what they hold is {read.id}: edited?")
        return read


def fit_statistics(
    episodes: Episodes,
    pred_horizon: int,
    *,
    relative_to_joints: Sequence[bool] | None = None,
    method: Literal["range", "moments"] = "range",
) -> IdentifiedStatistics:
    """Statistics of all targets and all measured joints.

    Args:
        episodes: of training alone; held-out episodes must not be looked at.
        pred_horizon: actions predicted at once; matters where they are relative.
        relative_to_joints: ``(14,)``, where an action is the way from the joint measured at the row's
            picture; ``None`` for absolute targets everywhere.
        method: see :func:`svam_ros.networks.normalization.fit_normalization`.

    Raises:
        DataError: nothing to compute them from, not finite, or flags that do not fit the joints.
    """
    if not len(episodes):
        raise DataError(f"{episodes.name}: no episodes to compute statistics from")
    names = episodes.robot.joint_names
    relative = (False,) * len(names) if relative_to_joints is None else tuple(relative_to_joints)
    if len(relative) != len(names):
        raise DataError(
            f"relative_to_joints has {len(relative)} flags, {episodes.name} has {len(names)} joints"
        )
    everything = [episodes[index] for index in range(len(episodes))]
    joints = np.concatenate([episode.joints for episode in everything]).astype(np.float64)
    targets = np.concatenate([episode.targets for episode in everything]).astype(np.float64)
    try:
        actions = fit_normalization(targets, method, smallest_scale=SMALLEST_SCALE)
        if any(relative):
            ways = _ways_from_joints(episodes, pred_horizon)
            ahead = fit_normalization(ways, method, smallest_scale=SMALLEST_SCALE)
            actions = _chosen(relative, ahead, actions)
        measured = fit_normalization(joints, method, smallest_scale=SMALLEST_SCALE)
    except ValueError as error:
        raise DataError(f"{episodes.name}: {error}") from error
    return IdentifiedStatistics(Statistics(actions, measured, relative), episodes.fingerprint)


def _ways_from_joints(episodes: Episodes, pred_horizon: int) -> FloatArray:
    """``(n, 14)``: every action of every chunk, less the joints at the chunk's picture."""
    ways = []
    for index in range(len(episodes)):
        episode = episodes[index]
        chunks = episode.chunks(np.arange(len(episode)), pred_horizon)
        ways.append((chunks - episode.joints[:, None]).reshape(-1, chunks.shape[-1]))
    return np.concatenate(ways)


def _chosen(
    relative: Sequence[bool], ahead: AffineNormalization, absolute: AffineNormalization
) -> AffineNormalization:
    """``ahead`` in the relative dimensions, ``absolute`` in the others."""
    return AffineNormalization(
        tuple(np.where(relative, ahead.offset, absolute.offset).tolist()),
        tuple(np.where(relative, ahead.scale, absolute.scale).tolist()),
    )
