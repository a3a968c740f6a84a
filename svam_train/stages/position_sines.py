"""Where position tables start from: two-dimensional sines.

From a table of noise an encoder has to find out first which patch lies beside which; with a few
thousand steps that is most of the time there is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def position_sines(grid: int, width: int) -> Tensor:
    """``(grid * grid, width)``: sines and cosines of row and column, half a turn to ``grid`` turns."""
    frequencies = math.pi / grid * torch.logspace(0, math.log2(grid), width // 4, base=2.0)
    rows, columns = torch.meshgrid(torch.arange(grid) + 0.5, torch.arange(grid) + 0.5, indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (rows, columns)]
    return torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=1)
