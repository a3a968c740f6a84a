"""What only simulation knows of a picture, as targets: depth and classes of patches, and where things are."""

from __future__ import annotations

from typing import Any

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


def centres_of(classes: NDArray[np.integer[Any]], points: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Where each of :data:`MOVABLE` is, as far as it is seen.

    Args:
        classes: ``(h, w)`` :class:`SceneClass` of every pixel.
        points: ``(h, w, 3)`` place of every pixel in the robot's frame, m.

    Returns:
        ``(movable, 5)``: row and column in the picture, both from -1 to 1, and x, y, z in the robot's frame,
        m: means over the pixels of the class. NaN for a class that covers next to nothing.
    """
    rows, columns = ((np.arange(length) + 0.5) * (2.0 / length) - 1.0 for length in classes.shape)
    found = np.full((len(MOVABLE), 5), np.nan, np.float32)
    for place, member in enumerate(MOVABLE):
        row, column = np.nonzero(classes == int(member))
        if len(row) > _VISIBLE_SHARE * classes.size:
            found[place, :2] = rows[row].mean(), columns[column].mean()
            found[place, 2:] = points[row, column].mean(axis=0)
    return found
