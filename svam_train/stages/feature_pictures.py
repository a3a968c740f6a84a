"""Features and depth as colours, and pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_train.training.objective import ImageArray

_LABEL_WIDTH = 150
_TILE = 128
"""Pixels."""


@dataclass(frozen=True)
class ColourBasis:
    """The three directions in which features differ most, as red, green and blue.

    The basis is fitted once: colours mean the same in every frame, clip and step of a run.
    """

    mean: Tensor
    """``(width,)``."""
    directions: Tensor
    """``(width, 3)``."""
    low: Tensor
    """``(3,)``: what becomes black."""
    high: Tensor
    """``(3,)``: what becomes full colour."""

    @staticmethod
    def fit(features: Tensor) -> ColourBasis:
        """Principal components of ``(..., width)``; black and full colour are the 1 and 99 % quantiles."""
        rows = features.detach().cpu().double().reshape(-1, features.shape[-1])
        mean = rows.mean(dim=0)
        covariance = (rows - mean).T @ (rows - mean)
        directions = torch.linalg.eigh(covariance).eigenvectors[:, -3:].flip(1)
        # A direction's sign is the library's whim: the largest entry is made positive.
        largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
        directions = directions * torch.where(largest < 0, -1.0, 1.0)
        values = ((rows - mean) @ directions).numpy()
        low, high = (torch.from_numpy(np.quantile(values, q, axis=0)) for q in (0.01, 0.99))
        return ColourBasis(mean, directions, low, high)

    def colours(self, tokens: Tensor) -> ImageArray:
        """``(grid * grid, width)`` -> ``(grid, grid, 3)``."""
        values = (tokens.detach().cpu().double() - self.mean) @ self.directions
        shares = (values - self.low) / (self.high - self.low).clamp(min=1e-9)
        side = int(len(tokens) ** 0.5)
        return _bytes(shares.numpy().reshape(side, side, 3))


def depth_colours(depth: NDArray[np.float32], nearest_m: float, farthest_m: float) -> ImageArray:
    """``(h, w)`` metres -> ``(h, w, 3)``: what is near is red, what is far is blue."""
    shares = (farthest_m - depth) / max(farthest_m - nearest_m, 1e-6)
    coloured = cv2.applyColorMap(_bytes(shares), cv2.COLORMAP_TURBO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


def frame_colours(frame: Tensor) -> ImageArray:
    """``(3, h, w)`` in [0, 1] -> ``(h, w, 3)``."""
    return _bytes(frame.detach().cpu().float().permute(1, 2, 0).numpy())


def table(rows: Sequence[tuple[str, Sequence[ImageArray]]]) -> ImageArray:
    """Rows of pictures of any size, each with its label at the left."""
    return np.concatenate([np.concatenate([_label(text), *map(_tile, row)], axis=1) for text, row in rows])


def _tile(picture: ImageArray) -> ImageArray:
    return np.asarray(cv2.resize(picture, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST), np.uint8)


def _label(text: str) -> ImageArray:
    picture = np.full((_TILE, _LABEL_WIDTH, 3), 255, np.uint8)
    for number, line in enumerate(text.split("\n")):
        place = (6, 50 + 20 * number)
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def _bytes(shares: NDArray[np.floating]) -> ImageArray:
    return np.rint(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8)
