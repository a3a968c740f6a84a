"""Batches by row numbers: a row is a picture of an episode, at which a chunk or a clip can start.

Everything here is a function of the row numbers alone: which rows a training step takes, and all its
noise, is the caller's. Past the end of an episode the last picture and the last target are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.networks.normalization import Statistics
from svam_ros.translation.preprocessing import image_to_network
from svam_train.episodes.episodes import DataError, Episode, Episodes


class EpisodeRows:
    """All rows of one or several data sets, in the order of their episodes and their pictures."""

    def __init__(self, *sets: Episodes) -> None:
        """Raises ``DataError`` when there is no episode, or when they differ in stride."""
        self.sets = sets
        name = " and ".join(episodes.name for episodes in sets)
        self.episodes: tuple[Episode, ...] = tuple(one[index] for one in sets for index in range(len(one)))
        if not self.episodes:
            raise DataError(f"{name}: no episodes; is the path right?")
        self.stride = _common_stride(name, self.episodes)
        self.instructions = tuple(sorted({episode.instruction for episode in self.episodes}))
        """Every sentence once; ``instructions`` of a batch are places in it."""
        lengths = [len(episode) for episode in self.episodes]
        self._episode = np.repeat(np.arange(len(lengths)), lengths)
        self._picture = np.concatenate([np.arange(length) for length in lengths])
        self._last = np.repeat(np.asarray(lengths) - 1, lengths)
        places = {instruction: place for place, instruction in enumerate(self.instructions)}
        self._instruction = np.repeat([places[episode.instruction] for episode in self.episodes], lengths)
        counts = np.bincount(self._instruction, minlength=len(places))
        self._by_instruction = np.split(np.argsort(self._instruction, kind="stable"), np.cumsum(counts)[:-1])

    def __len__(self) -> int:
        """Rows."""
        return len(self._episode)

    def rows_of(self, place: int) -> NDArray[np.int64]:
        """Rows of the episodes with the instruction that stands there in :attr:`instructions`."""
        return self._by_instruction[place]

    def where(self, row: int) -> tuple[Episode, int]:
        """The episode and the picture in it that a row stands for."""
        return self.episodes[self._episode[row]], int(self._picture[row])

    def clips(self, rows: NDArray[np.int64], frame_offsets: Sequence[int]) -> dict[str, Tensor]:
        """What stages 1 and 2 see.

        Args:
            rows: ``(batch,)``.
            frame_offsets: control steps from the row's picture to each frame, multiples of the stride.

        Returns:
            ``clips`` ``(batch, frames, 3, size, size)`` float32 in [-1, 1], as the network gets them;
            ``instructions`` ``(batch,)`` int64, places in :attr:`instructions`.

        Raises:
            DataError: an offset falls between two pictures.
        """
        frames = self._gather("images", rows, frame_offsets)
        return {"clips": torch.from_numpy(image_to_network(frames)), "instructions": self._codes(rows)}

    def chunks(self, rows: NDArray[np.int64], statistics: Statistics, pred_horizon: int) -> dict[str, Tensor]:
        """What stage 3 sees.

        Args:
            rows: ``(batch,)``.
            statistics: how joints and actions are normalised.
            pred_horizon: actions predicted at once.

        Returns:
            ``images`` ``(batch, 3, size, size)`` float32 in [-1, 1]; ``joints`` ``(batch, 14)`` and
            ``actions`` ``(batch, pred_horizon, 14)`` float32, normalised; ``instructions`` ``(batch,)``
            int64, places in :attr:`instructions`.
        """
        images = self._gather("images", rows, (0,))[:, 0]
        joints = self.joints(rows)
        actions = statistics.normalise_actions(self.targets(rows, pred_horizon), joints)
        return {
            "images": torch.from_numpy(image_to_network(images)),
            "joints": torch.from_numpy(statistics.normalise_joints(joints)).float(),
            "actions": torch.from_numpy(actions).float(),
            "instructions": self._codes(rows),
        }

    def joints(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """``(batch, 14)`` measured, rad and m."""
        parts = [self.episodes[e].joints[p] for e, p in self._places(rows)]
        return np.asarray(parts, np.float64)

    def targets(self, rows: NDArray[np.int64], pred_horizon: int) -> NDArray[np.float64]:
        """``(batch, pred_horizon, 14)`` joint targets, rad and m."""
        parts = [self.episodes[e].chunks(np.array([p]), pred_horizon) for e, p in self._places(rows)]
        return np.concatenate(parts)

    def segments(self, rows: NDArray[np.int64], frame_offsets: Sequence[int]) -> Tensor:
        """What is where in the frames of :meth:`clips`, as it was recorded in simulation.

        Returns:
            ``(batch, frames, grid, grid, classes)`` float32, shares that add up to 1.

        Raises:
            DataError: an episode was not recorded in simulation, or with other classes of things.
        """
        from svam_train.episodes.scene_truth import check_classes  # MuJoCo loads with it

        for episode in (self.episodes[index] for index in np.unique(self._episode[rows])):
            if episode.segments is not None:
                check_classes(f"episode '{episode.identity}'", episode.segments.shape[-1])
        return torch.from_numpy(self._gather("segments", rows, frame_offsets))

    def scene_truth(
        self, rows: NDArray[np.int64], frame_offsets: Sequence[int], grid: int
    ) -> dict[str, Tensor]:
        """What simulation knows of the frames of :meth:`clips`.

        Args:
            rows: ``(batch,)``.
            frame_offsets: as of :meth:`clips`.
            grid: patches along a side; those that were recorded are averaged to it.

        Returns:
            ``depth`` ``(batch, frames, grid, grid)`` m; ``segments`` ``(batch, frames, grid, grid, classes)``
            shares that add up to 1. Both float32.

        Raises:
            DataError: an episode was not recorded in simulation, or with other classes of things, or the
                grid does not fit.
        """
        from svam_train.episodes.scene_truth import pooled  # MuJoCo loads with it

        segments = self.segments(rows, frame_offsets).numpy()
        depth = self._gather("depth", rows, frame_offsets)
        coarse = [pooled(v.reshape(-1, *v.shape[2:]), grid) for v in (depth, segments)]
        shape = segments.shape[:2]
        values = {
            "depth": coarse[0].reshape(*shape, *coarse[0].shape[1:]),
            "segments": coarse[1].reshape(*shape, *coarse[1].shape[1:]),
        }
        return {name: torch.from_numpy(value) for name, value in values.items()}

    def _places(self, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
        return list(zip(self._episode[rows].tolist(), self._picture[rows].tolist(), strict=True))

    def _codes(self, rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._instruction[rows])

    def _gather(self, name: str, rows: NDArray[np.int64], frame_offsets: Sequence[int]) -> NDArray[Any]:
        """``(batch, frames, ...)`` of ``images``, ``depth`` or ``segments``."""
        if any(offset % self.stride for offset in frame_offsets):
            raise DataError(
                f"video frames are wanted at control steps {tuple(frame_offsets)}, pictures were taken every "
                f"{self.stride}: use multiples of that"
            )
        ahead = self._picture[rows][:, None] + np.asarray(frame_offsets, np.int64) // self.stride
        ahead = np.minimum(ahead, self._last[rows][:, None])
        parts = []
        for index, pictures in zip(self._episode[rows], ahead, strict=True):
            values = getattr(self.episodes[index], name)
            if values is None:
                raise DataError(
                    f"episode '{self.episodes[index].identity}' has no {name}: only simulation knows it"
                )
            parts.append(values[pictures])
        return np.stack(parts)


def _common_stride(name: str, episodes: Sequence[Episode]) -> int:
    strides = sorted({episode.stride for episode in episodes})
    if len(strides) > 1:
        raise DataError(
            f"{name}: pictures were taken every {strides} control steps; use one stride, in folders of their "
            f"own"
        )
    return strides[0]
