"""Resizing in fp32, whatever the precision of the network: where samples are taken is part of the result.

Torch computes the places of the samples in the precision of the tensor. The published evaluation resizes
in fp32; in fp64 the samples would lie elsewhere by a hundred-thousandth of a pixel, which is more than
all other rounding together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of red, green and blue in [0, 1]."""


def resize_image(image: Tensor, size: int) -> Tensor:
    """``(batch, 3, s, s)`` -> ``(batch, 3, size, size)``: bilinear, not antialiased."""
    resized = functional.interpolate(image.float(), size=(size, size), mode="bilinear", align_corners=False)
    return resized.to(image.dtype)


def show_to_references(image: Tensor, size: int, normalization: str) -> Tensor:
    """The image in [-1, 1] as the reference encoders see it, ``(batch, 3, size, size)``.

    Args:
        image: ``(batch, 3, s, s)`` in [-1, 1].
        size: wanted, pixels.
        normalization: ``minus_one_to_one`` leaves it as the published evaluation does; ``imagenet`` is what
            the decouplers were trained on.
    """
    shown = resize_image(image, size)
    if normalization == "minus_one_to_one":
        return shown
    mean, deviation = (torch.tensor(values).to(shown)[:, None, None] for values in IMAGENET)
    return ((shown + 1) / 2 - mean) / deviation


def resize_positions_to(positions: Tensor, grid: int) -> Tensor:
    """Table ``(1, 1 + side^2, width)`` -> ``(1, 1 + grid^2, width)``: bicubic, antialiased, to the size."""
    if _side(positions) == grid:
        return positions
    resized = functional.interpolate(_as_map(positions), size=(grid, grid), mode="bicubic", antialias=True)
    return _as_table(positions, resized)


def resize_positions_by_scale(positions: Tensor, grid: int, offset: float) -> Tensor:
    """The same, not antialiased, by the scale ``(grid + offset) / side``.

    A table that has the size already is taken as it is: the offset would shift it.
    """
    if _side(positions) == grid:
        return positions
    scale = (grid + offset) / _side(positions)
    resized = functional.interpolate(_as_map(positions), scale_factor=(scale, scale), mode="bicubic")
    return _as_table(positions, resized)


def _side(positions: Tensor) -> int:
    return math.isqrt(positions.shape[1] - 1)


def _as_map(positions: Tensor) -> Tensor:
    """``(1, width, side, side)`` without the class token."""
    side = _side(positions)
    return positions[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)


def _as_table(positions: Tensor, resized: Tensor) -> Tensor:
    patches = resized.flatten(2).transpose(1, 2).to(positions.dtype)
    return torch.cat([positions[:, :1], patches], dim=1)
