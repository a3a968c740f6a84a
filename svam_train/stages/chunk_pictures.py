"""A picture beside the chunk that was true and the one that was sampled for it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from svam_train.training.objective import ImageArray

_SIDE = 160
_CELL = 80
_RANGE = 1.3
"""Normalised actions from -1.3 to 1.3 fill a cell."""
_TRUE = (120, 120, 120)
_SAMPLED = (200, 40, 40)


def chunk_picture(
    image: ImageArray, true: NDArray[np.float32], sampled: NDArray[np.float32], caption: str
) -> ImageArray:
    """The picture, and a cell for each action dimension: grey what was true, red what was sampled.

    Args:
        image: ``(h, w, 3)``.
        true: ``(horizon, action_dim)`` normalised.
        sampled: the same.
        caption: the instruction.
    """
    columns = -(-true.shape[1] // 2)
    picture = np.full((_SIDE + 20, _SIDE + columns * _CELL, 3), 255, np.uint8)
    picture[:_SIDE, :_SIDE] = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    for dimension in range(true.shape[1]):
        row, column = divmod(dimension, columns)
        left, top = _SIDE + column * _CELL, row * _CELL
        cv2.rectangle(picture, (left, top), (left + _CELL - 1, top + _CELL - 1), (225, 225, 225))
        for values, colour in ((true, _TRUE), (sampled, _SAMPLED)):
            across = left + 4 + np.linspace(0.0, _CELL - 9.0, len(values))
            heights = top + _CELL * (0.5 - 0.5 * np.clip(values[:, dimension] / _RANGE, -1.0, 1.0))
            points = np.stack([across, heights], axis=1).round().astype(np.int32)
            cv2.polylines(picture, [points], False, colour, 1, cv2.LINE_AA)
    cv2.putText(picture, caption, (4, _SIDE + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return picture
