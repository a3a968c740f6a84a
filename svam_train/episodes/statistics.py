"""Statistics that say which data they are of.

``statistics_id`` of :mod:`svam_ros.artifacts.statistics_file` is of the numbers alone, and is what keeps
weights and numbers of a model directory together. The identity here is of the numbers and of the data
they were computed from: it keeps a run and its data together.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from dacite import Config, DaciteError, from_dict
from numpy.typing import NDArray

from svam_ros.networks.normalization import Statistics, fit_normalization
from svam_train.episodes.episodes import DataError, Episodes

FAR_OUTSIDE = 8.0
"""Normalised: data of the same robot stays within 2 of a range and within 8 standard deviations."""
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
        """Refuse to go on training with the statistics of other data that are nothing like this data.

        Raises:
            DataError: targets or joints of ``episodes`` lie far outside what the statistics know.
        """
        if self.data == episodes.fingerprint:
            return
        for index in range(len(episodes)):
            episode = episodes[index]
            for what, values in (("targets", episode.targets), ("joints", episode.joints)):
                self._check_values(f"{episodes.name}: episode '{episode.identity}'", what, values, episodes)

    def _check_values(self, where: str, what: str, values: NDArray[np.float32], episodes: Episodes) -> None:
        known = self.statistics.joints if what == "joints" else self.statistics.actions
        far = np.abs(known.normalise(values.astype(np.float64))).max(axis=0)
        joint = int(far.argmax())
        if far[joint] > FAR_OUTSIDE:
            raise DataError(
                f"{where}: '{what}' of {episodes.robot.joint_names[joint]} go to {far[joint]:.1f} times what "
                f"the parent run's statistics {self.id[:12]} know: they are not of such data; start from "
                f"a run of the decouplers, so that they are computed anew, or from a model of such data"
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
    episodes: Episodes, *, method: Literal["range", "moments"] = "range"
) -> IdentifiedStatistics:
    """Statistics of all targets, which are absolute, and of all measured joints.

    Args:
        episodes: of training alone; held-out episodes must not be looked at.
        method: see :func:`svam_ros.networks.normalization.fit_normalization`.

    Raises:
        DataError: nothing to compute them from, or not finite.
    """
    if not len(episodes):
        raise DataError(f"{episodes.name}: no episodes to compute statistics from")
    everything = [episodes[index] for index in range(len(episodes))]
    joints = np.concatenate([episode.joints for episode in everything]).astype(np.float64)
    targets = np.concatenate([episode.targets for episode in everything]).astype(np.float64)
    try:
        actions, measured = (
            fit_normalization(values, method, smallest_scale=SMALLEST_SCALE) for values in (targets, joints)
        )
    except ValueError as error:
        raise DataError(f"{episodes.name}: {error}") from error
    absolute = (False,) * targets.shape[1]
    return IdentifiedStatistics(Statistics(actions, measured, absolute), episodes.fingerprint)
