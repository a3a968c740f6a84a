"""What only simulation knows of a picture, as targets: depth and classes of patches, and where things are.

Arrays are ``(..., grid, grid, ...)`` with any number of leading dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from svam_ros.simulation.front_camera import SceneClass
from svam_train.episodes.episodes import DataError

_STILL = (SceneClass.BACKGROUND, SceneClass.TABLE)

MOVABLE = tuple(member for member in SceneClass if member not in _STILL)
"""Classes of things whose places are worth knowing."""

_VISIBLE_SHARE = 0.001
"""Of the picture: less than this is no place."""


def check_classes(name: str, classes: int) -> None:
    """Refuse an episode that knows other classes of things than the simulation.

    Raises:
        DataError: it does; older recordings know six.
    """
    if classes != len(SceneClass):
        raise DataError(
            f"{name}: was recorded with {classes} classes of things, the simulation has {len(SceneClass)}: "
            f"record it anew with 'svam-train demonstrations', in an empty folder"
        )


def pooled(patches: NDArray[np.float32], grid: int) -> NDArray[np.float32]:
    """``(n, fine, fine, ...)`` -> ``(n, grid, grid, ...)`` averages.

    Raises:
        DataError: the patches cannot be grouped into that grid.
    """
    fine = patches.shape[1]
    if fine % grid:
        raise DataError(f"demonstrations with {fine} patches a side do not fit a grid of {grid}")
    blocks = patches.reshape(len(patches), grid, fine // grid, grid, fine // grid, *patches.shape[3:])
    return blocks.mean(axis=(2, 4))


def visibility(segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., grid, grid, classes)`` -> ``(..., movable)``: 1 where a class covers enough to have a place."""
    return (_movable_shares(segments).mean(axis=(-3, -2)) > _VISIBLE_SHARE).astype(np.float32)


def centres(segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., grid, grid, classes)`` -> ``(..., movable, 2)``: row and column of each centre, -1 to 1."""
    shares = _movable_shares(segments)
    grid = segments.shape[-2]
    axis = (np.arange(grid, dtype=np.float32) + 0.5) * (2.0 / grid) - 1.0
    rows = (shares * axis[:, None, None]).sum(axis=(-3, -2))
    columns = (shares * axis[:, None]).sum(axis=(-3, -2))
    mass = np.maximum(shares.sum(axis=(-3, -2)), 1e-6)
    return (np.stack([rows, columns], axis=-1) / mass[..., None]).astype(np.float32)


def centre_points(segments: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., grid, grid, classes)`` and places ``(..., grid, grid, 3)`` -> ``(..., movable, 3)``: the mean
    place of what is seen of each class, m in the robot's frame.
    """
    shares = _movable_shares(segments)
    sums = np.einsum("...ijc,...ijx->...cx", shares, points)
    mass = np.maximum(shares.sum(axis=(-3, -2)), 1e-6)
    return (sums / mass[..., None]).astype(np.float32)


def _movable_shares(segments: NDArray[np.float32]) -> NDArray[np.float32]:
    return segments[..., [int(member) for member in MOVABLE]]
