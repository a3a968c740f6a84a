"""Read-outs of the Uni-Perceiver's latents that ground them in what simulation knows, and their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.normalization import Statistics
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError, Episode
from svam_train.recipes.actions import ReadOutWeights

_STILL_RAD = 1e-3
"""Arms that move less than this in a control step rest."""
_REST_AHEAD_STEPS = 4
"""A rest that ends sooner does not count: there the next one is what matters."""
_SMOOTH = 0.05
"""Where the distance turns from squared to absolute."""


class ReadOuts(nn.Module):
    """Linear read-outs of all latents of a frame; those with weight 0 do not exist."""

    def __init__(self, config: SvamConfig, weights: ReadOutWeights, movable: int) -> None:
        super().__init__()
        perceiver = config.uni_perceiver
        width = perceiver.latents_per_frame * perceiver.width
        self._latents = perceiver.latents_per_frame
        self.places = nn.Linear(width, 2 * movable) if weights.places else None
        self.rests = nn.Linear(width, config.action_expert.action_dim) if weights.rests else None

    def losses(self, context: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Smooth L1 distances by name, means over the rows.

        Args:
            context: ``(rows, frames * latents_per_frame, width)`` of the Uni-Perceiver.
            batch: with what :class:`ReadOutTruth` gives.
        """
        per_frame = context.unflatten(1, (-1, self._latents)).flatten(2)
        losses = {}
        if self.places is not None:
            found = self.places(per_frame).float().unflatten(-1, (-1, 2))
            distance = functional.smooth_l1_loss(found, batch["places"], reduction="none", beta=_SMOOTH)
            visible = batch["visible"]
            missed = (distance.sum(dim=-1) * visible).sum(dim=(1, 2))
            losses["places"] = (missed / visible.sum(dim=(1, 2)).clamp(min=1.0)).mean()
        if self.rests is not None:
            found = self.rests(per_frame[:, 0]).float()
            losses["rests"] = functional.smooth_l1_loss(found, batch["rests"], beta=_SMOOTH)
        return losses


@dataclass(frozen=True)
class _Known:
    """Of one episode."""

    places: NDArray[np.float32]
    """``(n, movable, 2)``."""
    visible: NDArray[np.float32]
    """``(n, movable)``."""
    rests: NDArray[np.float64]
    """``(n, 14)`` rad and m."""


class ReadOutTruth:
    """What the read-outs should say of rows; small, so it is all in memory.

    Args:
        rows: of the data set.
        weights: what is wanted.
        frame_offsets: control steps from a row's picture to each frame of the video.

    Raises:
        DataError: places are wanted of an episode that was not recorded in simulation, or between pictures.
    """

    def __init__(self, rows: EpisodeRows, weights: ReadOutWeights, frame_offsets: Sequence[int]) -> None:
        if weights.places and any(offset % rows.stride for offset in frame_offsets):
            raise DataError(
                f"places are wanted at control steps {tuple(frame_offsets)}, pictures were taken every "
                f"{rows.stride}: choose a multiple of that as frame_spacing"
            )
        self._rows, self._weights = rows, weights
        self._ahead = np.asarray(frame_offsets, np.int64) // rows.stride
        self._known = {episode.identity: _known(episode, weights) for episode in rows.episodes}

    def of(self, rows: NDArray[np.int64], statistics: Statistics) -> dict[str, Tensor]:
        """``places`` ``(rows, frames, movable, 2)`` from -1 to 1, ``visible`` ``(rows, frames, movable)``,
        ``rests`` ``(rows, 14)`` normalised: those that are wanted.
        """
        places, visible, rests = [], [], []
        for row in rows:
            episode, picture = self._rows.where(int(row))
            known = self._known[episode.identity]
            ahead = np.minimum(picture + self._ahead, len(episode) - 1)
            rests.append(known.rests[picture])
            if self._weights.places:
                places.append(known.places[ahead])
                visible.append(known.visible[ahead])
        truth = {}
        if self._weights.places:
            truth["places"] = torch.from_numpy(np.stack(places))
            truth["visible"] = torch.from_numpy(np.stack(visible))
        if self._weights.rests:
            truth["rests"] = torch.from_numpy(statistics.actions.normalise(np.stack(rests))).float()
        return truth


def movable_things() -> int:
    """How many things the read-out of places locates."""
    from svam_train.episodes.scene_truth import MOVABLE  # MuJoCo loads with it

    return len(MOVABLE)


def next_rests(episode: Episode) -> NDArray[np.float64]:
    """``(n, 14)`` rad and m: the targets where the arms, not the grippers, stand still next."""
    targets = episode.targets.astype(np.float64)
    moved = np.abs(np.diff(targets, axis=0)).reshape(len(targets) - 1, 2, 7)[..., :6]
    still = np.append(moved.max(axis=(1, 2)) < _STILL_RAD, True)
    steps = np.arange(len(episode)) * episode.stride + _REST_AHEAD_STEPS
    rests = np.flatnonzero(still)
    return targets[rests[np.minimum(np.searchsorted(rests, steps), len(rests) - 1)]]


def _known(episode: Episode, weights: ReadOutWeights) -> _Known:
    rests = next_rests(episode)
    if not weights.places:
        return _Known(np.empty((0, 0, 2), np.float32), np.empty((0, 0), np.float32), rests)
    if episode.centres is None:
        raise DataError(
            f"episode '{episode.identity}' does not say where things are in its pictures: it was not "
            f"recorded in simulation, or by an older version; say --recipe.read-outs.places 0"
        )
    in_picture = episode.centres[..., :2]
    return _Known(np.nan_to_num(in_picture), np.isfinite(in_picture[..., 0]).astype(np.float32), rests)
