"""How the published encoders resize their position tables, once here instead of at every run.

Both tables were trained on 37 x 37 patches. The two projects interpolate differently, and the
difference shows in the features. Both take a table that has the wanted size already as it is.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

GEOMETRIC_OFFSET = 0.1
"""Depth Anything 3 asks for a grid larger by this, against rounding down, and so scales by it."""


def resize_semantic(table: Tensor, grid: int) -> Tensor:
    """DINOv2 with registers: bicubic with antialias, to the size. ``(1, c, n, n)`` to the grid."""
    if table.shape[-1] == grid:
        return table
    return functional.interpolate(table, size=(grid, grid), mode="bicubic", antialias=True)


def resize_geometric(table: Tensor, grid: int) -> Tensor:
    """Depth Anything 3: bicubic without antialias, by scale. ``(1, c, n, n)`` to the grid."""
    if table.shape[-1] == grid:  # scaled by (n + offset) / n it would be shifted
        return table
    scale = (grid + GEOMETRIC_OFFSET) / table.shape[-1]
    return functional.interpolate(table, scale_factor=(scale, scale), mode="bicubic", antialias=False)
