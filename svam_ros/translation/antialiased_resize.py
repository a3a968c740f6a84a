"""Bilinear resizing with antialias, as torchvision and Pillow do it for pictures of whole numbers.

OpenCV has no such method: its ``INTER_LINEAR`` looks at four pixels however much a picture shrinks. Here
every pixel is a triangle-weighted mean of all pixels under it; where a picture grows, that is plain bilinear.
Columns first, rounded to whole levels, then rows: in this order, because that is how published networks were
shown their pictures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import ImageArray


def resize_antialiased(rgb: ImageArray, size: int) -> ImageArray:
    """``(h, w, 3)`` uint8 to ``(size, size, 3)`` uint8."""
    height, width = rgb.shape[:2]
    narrow = _rounded(np.matmul(_triangle_weights(width, size), rgb.astype(np.float32)))
    rows = narrow.reshape(height, -1)  # (h, size * 3)
    square = _rounded(np.matmul(_triangle_weights(height, size), rows))
    return np.asarray(square.reshape(size, size, -1), dtype=np.uint8)


def _rounded(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    rounded: NDArray[np.float32] = np.floor(levels + np.float32(0.5))
    return rounded


@lru_cache(maxsize=8)
def _triangle_weights(length: int, size: int) -> NDArray[np.float32]:
    """``(size, length)``: the share of every old pixel in every new one; each row adds up to 1."""
    scale = length / size
    reach = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(1.0 - distances, 0.0)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    shares.setflags(write=False)
    return shares
