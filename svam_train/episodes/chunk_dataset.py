"""All demonstrations in memory, and batches of (image, joints, chunk, future) drawn from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.networks.normalization import Statistics, fit_normalization
from svam_ros.translation.preprocessing import image_to_network
from svam_ros.types import ImageArray
from svam_train.episodes.demonstration_files import Demonstration, DemonstrationError, load_demonstration
from svam_train.episodes.scene_truth import centres, check_classes, pooled, visibility

_STILL_RAD = 1e-3
"""Arms that move less than this in a control step rest."""

_REST_AHEAD_STEPS = 4


@dataclass(frozen=True)
class ChunkBatch:
    """What one training step sees."""

    images: Tensor
    """``(batch, 3, size, size)`` float32 in [-1, 1]."""
    joints: Tensor
    """``(batch, 14)`` normalised."""
    actions: Tensor
    """``(batch, pred_horizon, 14)`` normalised."""
    rests: Tensor
    """``(batch, 14)`` normalised targets at which the arms come to rest next."""
    instructions: Tensor
    """``(batch,)`` int64: row of :attr:`ChunkDataset.instructions`."""
    future_images: Tensor
    """``(batch, frames, 3, size, size)`` in [-1, 1]; the first frame is the observed one."""
    future_depth: Tensor
    """``(batch, frames, tokens)`` m."""
    future_segments: Tensor
    """``(batch, frames, tokens, classes)`` shares that add up to 1."""
    future_places: Tensor
    """``(batch, frames, movable, 2)`` row and column of the centre of each class of :data:`MOVABLE` in the
    picture, from -1 to 1."""
    future_visible: Tensor
    """``(batch, frames, movable)`` 1 where the class is in the picture, else 0."""


@dataclass(frozen=True)
class ChunkShape:
    """How far a training example looks ahead."""

    pred_horizon: int
    frame_offsets: tuple[int, ...]
    """Control steps from the observation to each frame of the video, multiples of the pictures' stride;
    the first is 0."""
    grid: int
    """Patches along a side of the network's feature grid; depth and classes are averaged to it."""


class ChunkDataset:
    """Demonstrations of several tasks; an example starts at a row, that is at a picture.

    Past the end of an episode the last picture and the last target are repeated: the arms hold still.
    """

    def __init__(self, demonstrations: Sequence[Demonstration], shape: ChunkShape) -> None:
        """Raises ``DataError`` when there is nothing to train on, or strides or classes do not fit."""
        if not demonstrations:
            raise DemonstrationError("no demonstrations: make some with 'svam-train demonstrations'")
        _check_all_classes(demonstrations)
        self.shape = shape
        self.instructions = tuple(sorted({d.instruction for d in demonstrations}))
        self.episodes = len(demonstrations)
        self.seeds = _seeds_by_task(demonstrations)
        self.joints = _joined(d.joints for d in demonstrations)
        self.targets = _joined(d.targets for d in demonstrations)
        self._rests = _joined(_next_rests(d) for d in demonstrations)
        self._frame_rows = _rows_of_frames(demonstrations, shape)
        self._images: ImageArray = _joined(d.images for d in demonstrations)
        self._depth = _joined(_half(pooled(d.depth, shape.grid)) for d in demonstrations)
        self._segments = _joined(_half(pooled(d.segments, shape.grid)) for d in demonstrations)
        self._places = _joined(centres(d.segments) for d in demonstrations)
        self._visible = _joined(visibility(d.segments) for d in demonstrations)
        self._timeline = _timeline(demonstrations)
        self._instruction = _instruction_codes(demonstrations, self.instructions)

    def __len__(self) -> int:
        """Rows, each of which can start a chunk."""
        return len(self.joints)

    def rows_of(self, instruction: str) -> NDArray[np.int64]:
        """Rows that belong to one instruction."""
        return np.flatnonzero(self._instruction == self.instructions.index(instruction))

    def chunk_targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """``(n, pred_horizon, 14)`` joint targets, rad and m."""
        timeline = self._timeline
        steps = timeline.step[rows][:, None] + np.arange(self.shape.pred_horizon)
        return self.targets[np.minimum(steps, timeline.last_step[rows][:, None])]

    def fit_statistics(self) -> Statistics:
        """Ranges of targets and joints over all rows; actions are absolute targets."""
        return Statistics(
            actions=fit_normalization(self.targets.astype(np.float64), "range", smallest_scale=0.02),
            joints=fit_normalization(self.joints.astype(np.float64), "range", smallest_scale=0.02),
            relative_to_joints=(False,) * self.joints.shape[1],
        )

    def depth_moments(self) -> tuple[float, float]:
        """Mean and standard deviation of all patch depths, m."""
        depth = self._depth.astype(np.float32)
        return float(depth.mean()), float(depth.std())

    def batch(self, rows: NDArray[np.int64], statistics: Statistics) -> ChunkBatch:
        """The examples that start at ``rows``."""
        ahead = np.minimum(rows[:, None] + self._frame_rows, self._timeline.last_row[rows][:, None])
        # contiguous: in the channels-last layout bfloat16 group norms are ten times slower on a CPU
        future_images = torch.from_numpy(image_to_network(self._images[ahead]))
        joints = self.joints[rows].astype(np.float64)
        targets = self.chunk_targets(rows).astype(np.float64)
        return ChunkBatch(
            images=future_images[:, 0].contiguous(),
            joints=torch.from_numpy(statistics.normalise_joints(joints)).float(),
            actions=torch.from_numpy(statistics.normalise_actions(targets, joints)).float(),
            rests=torch.from_numpy(statistics.actions.normalise(self._rests[rows])).float(),
            instructions=torch.from_numpy(self._instruction[rows]),
            future_images=future_images,
            future_depth=torch.from_numpy(self._depth[ahead]).float().flatten(2),
            future_segments=torch.from_numpy(self._segments[ahead]).float().flatten(2, 3),
            future_places=torch.from_numpy(self._places[ahead]),
            future_visible=torch.from_numpy(self._visible[ahead]),
        )


@dataclass(frozen=True)
class _Timeline:
    """For every row, where it stands among all targets and where its episode ends."""

    step: NDArray[np.int64]
    last_step: NDArray[np.int64]
    last_row: NDArray[np.int64]


def _timeline(demonstrations: Sequence[Demonstration]) -> _Timeline:
    pictures = [len(d) for d in demonstrations]
    steps = [len(d.targets) for d in demonstrations]
    ends = np.cumsum(steps)
    firsts = ends - steps
    return _Timeline(
        step=_joined(
            first + d.stride * np.arange(len(d)) for first, d in zip(firsts, demonstrations, strict=True)
        ),
        last_step=np.repeat(ends - 1, pictures),
        last_row=np.repeat(np.cumsum(pictures) - 1, pictures),
    )


def _check_all_classes(demonstrations: Sequence[Demonstration]) -> None:
    for demonstration in demonstrations:
        check_classes(f"{demonstration.task} seed {demonstration.seed}", demonstration.segments.shape[-1])


def _joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(parts))


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """float16 holds mm and per mille."""
    return values.astype(np.float16)


def _next_rests(demonstration: Demonstration) -> NDArray[np.float64]:
    """``(n, 14)`` rad and m: the targets where the arms, not the grippers, stand still next.

    A rest that is about to end does not count: there the next one is what matters.
    """
    targets = demonstration.targets.astype(np.float64)
    moved = np.abs(np.diff(targets, axis=0)).reshape(len(targets) - 1, 2, 7)[..., :6]
    still = np.append(moved.max(axis=(1, 2)) < _STILL_RAD, True)
    steps = np.arange(len(demonstration)) * demonstration.stride + _REST_AHEAD_STEPS
    rests = np.flatnonzero(still)
    return targets[rests[np.minimum(np.searchsorted(rests, steps), len(rests) - 1)]]


def _instruction_codes(
    demonstrations: Sequence[Demonstration], instructions: Sequence[str]
) -> NDArray[np.int64]:
    return _joined(np.full(len(d), instructions.index(d.instruction)) for d in demonstrations)


def _seeds_by_task(demonstrations: Sequence[Demonstration]) -> dict[str, tuple[int, ...]]:
    tasks = sorted({d.task for d in demonstrations})
    return {task: tuple(d.seed for d in demonstrations if d.task == task) for task in tasks}


def _rows_of_frames(demonstrations: Sequence[Demonstration], shape: ChunkShape) -> NDArray[np.int64]:
    strides = {d.stride for d in demonstrations}
    if len(strides) != 1 or any(offset % max(strides) for offset in shape.frame_offsets):
        raise DemonstrationError(
            f"pictures were taken every {sorted(strides)} control steps, video frames are wanted at "
            f"{shape.frame_offsets}: use one stride that divides all of them"
        )
    return np.asarray(shape.frame_offsets, np.int64) // strides.pop()


def draw_rows(dataset: ChunkDataset, batch_size: int, seed: int, step: int) -> NDArray[np.int64]:
    """Rows of training step ``step``: a function of seed and step alone, so that resuming is exact.

    Every instruction gets the same share of the batch, whatever the lengths of its episodes.
    """
    random = np.random.default_rng((seed, step))
    names = dataset.instructions
    shares = [(batch_size + i) // len(names) for i in range(len(names))]
    parts = [random.choice(dataset.rows_of(n), share) for n, share in zip(names, shares, strict=True)]
    return np.concatenate(parts)


def open_demonstrations(
    folder: Path, shape: ChunkShape, held_out_every: int
) -> tuple[ChunkDataset, ChunkDataset]:
    """Training and held-out demonstrations of a folder; whole episodes are held out, by their seed.

    Raises:
        DemonstrationError: the folder holds too few, or a file is damaged.
    """
    training: list[Demonstration] = []
    held_out: list[Demonstration] = []
    for path in sorted(folder.glob("*.npz")):
        demonstration = load_demonstration(path)
        (held_out if demonstration.seed % held_out_every == 0 else training).append(demonstration)
    if not training or not held_out:
        raise DemonstrationError(
            f"{folder}: {len(training)} demonstrations to train on and {len(held_out)} held out; both are "
            f"needed (every {held_out_every}th seed is held out): make more with 'svam-train demonstrations'"
        )
    return ChunkDataset(training, shape), ChunkDataset(held_out, shape)
