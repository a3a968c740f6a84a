"""Where training starts: position tables of the reference encoders as two-dimensional sines.

From a table of noise a network has to find out first which patch lies beside which; with a few
thousand steps that is most of the time there is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from svam_ros.networks.svam import Svam


def position_sines(grid: int, width: int) -> Tensor:
    """``(grid * grid, width)``: sines and cosines of row and column, half a turn to ``grid`` turns."""
    frequencies = math.pi / grid * torch.logspace(0, math.log2(grid), width // 4, base=2.0)
    rows, columns = torch.meshgrid(torch.arange(grid) + 0.5, torch.arange(grid) + 0.5, indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (rows, columns)]
    return torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=1)


@torch.no_grad()
def start_positions(network: Svam, scale: float) -> None:
    """Write sines of amplitude ``scale`` into both reference encoders' position tables."""
    grid = network.config.references.grid
    embeddings = network.semantic_reference.dino.embeddings
    for table in (embeddings.position_embeddings, network.geometric_reference.positions):
        table[0, 1:] = scale * position_sines(grid, table.shape[-1])
