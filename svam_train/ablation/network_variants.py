"""How a variant changes the network.

An input that is left out keeps its place: its columns of the Uni-Perceiver's first layer are zero, and stay
zero. So the trained network is an ordinary one, which every engine runs and ``svam-train publish`` publishes;
and all other weights start as those of the whole network with the same seed.

Without the Uni-Perceiver's attention there are fewer weights: that network is run as it was trained, in this
package alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from svam_ros.artifacts.network_loading import weight_shapes
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import Svam
from svam_train.recipes.ablation import Input, Variant
from svam_train.stages.actions import TRAINED

FIRST_LAYER = "uni_perceiver.embedding.hidden.weight"
"""``(hidden_width, features + semantic + geometric)``."""

_LAYERS = "uni_perceiver.layers."
_PLACE_SCALE = 0.02
"""Deviation that the latents start with where they only tell places apart, as is usual for such embeddings.
They start at 1 where they are the queries of attention; beside averages that would drown what is seen."""


class CellAverages(nn.Module):
    """Stands where a layer of the Uni-Perceiver stands, and learns nothing.

    A frame's picture is cut into as many cells as there are latents, as square as can be; each latent gets
    the mean of its cell's tokens. Every token counts in exactly one cell. Frames exchange nothing.

    Args:
        grid: side of the picture, tokens.
        cells: how many.

    Raises:
        ValueError: the grid cannot be cut into so many cells.
    """

    shares: Tensor
    """``(cells, grid * grid)``, rows sum to 1."""

    def __init__(self, grid: int, cells: int) -> None:
        super().__init__()
        rows, columns = _cell_layout(grid, cells)
        places = torch.arange(grid)
        owner = (places * rows // grid)[:, None] * columns + (places * columns // grid)[None]
        belongs = (torch.arange(cells)[:, None] == owner.flatten()[None]).float()
        self.register_buffer("shares", belongs / belongs.sum(dim=1, keepdim=True), persistent=False)

    def forward(self, latents: Tensor, tokens: Tensor, frames: int) -> Tensor:
        """As :class:`svam_ros.networks.uni_perceiver.UniPerceiverLayer`, whose arguments these are.

        ``latents`` ``(batch * frames, cells, width)``, ``tokens`` ``(batch * frames, grid * grid, width)``.
        """
        return latents + self.shares @ tokens


@dataclass(frozen=True)
class Parameters:
    """How many weights a variant has."""

    at_run_time: int
    """All that run on the robot; those of columns that are left out are not counted."""
    trained: int
    """Of them, those of the Uni-Perceiver and the action expert."""


def apply_variant(network: Svam, variant: Variant) -> None:
    """Change a network before it is trained, or before it gets the weights of one that was trained so.

    Args:
        network: the published one, all of whose weights learn; changed in place.
        variant: what is different.

    Raises:
        ValueError: the picture cannot be cut into as many cells as there are latents.
    """
    perceiver, config = network.uni_perceiver, network.config
    if variant.resampling == "averages":
        perceiver.layers = nn.ModuleList([CellAverages(config.grid, config.uni_perceiver.latents_per_frame)])
        with torch.no_grad():
            perceiver.latents.mul_(_PLACE_SCALE)
            perceiver.frame_positions.mul_(_PLACE_SCALE)
    if variant.left_out:
        weight = perceiver.embedding.hidden.weight
        left_out = _left_out_columns(config, variant)
        with torch.no_grad():
            weight[:, left_out] = 0.0
        # No gradient is no step: AdamW's decay and the average of the weights leave a zero what it is.
        weight.register_hook(lambda gradient: gradient.masked_fill(left_out.to(gradient.device), 0.0))


def sees_what_it_should(weights: dict[str, Tensor], config: SvamConfig, variant: Variant) -> bool:
    """Whether the columns of all inputs that are left out, and of no others, are zero."""
    is_zero = (weights[FIRST_LAYER] == 0.0).all(dim=0)
    return torch.equal(is_zero, _left_out_columns(config, variant))


@cache
def count_parameters(config: SvamConfig, variant: Variant) -> Parameters:
    """Weights of a variant."""
    counts = {name: math.prod(shape) for name, shape in weight_shapes(config).items()}
    if variant.resampling == "averages":
        counts = {name: count for name, count in counts.items() if not name.startswith(_LAYERS)}
    counts[FIRST_LAYER] -= config.uni_perceiver.hidden_width * int(_left_out_columns(config, variant).sum())
    trained = sum(count for name, count in counts.items() if name.startswith(TRAINED))
    return Parameters(sum(counts.values()), trained)


def _left_out_columns(config: SvamConfig, variant: Variant) -> Tensor:
    """``(columns of the first layer,)`` bool."""
    references = config.references
    widths: dict[Input, int] = {
        "features": config.backbone.feature_width,
        "semantic": references.semantic.width,
        "geometric": references.geometric_width,
    }
    return torch.cat([torch.full((width,), name in variant.left_out) for name, width in widths.items()])


def _cell_layout(grid: int, cells: int) -> tuple[int, int]:
    """Rows and columns: as square as can be, the wider way across."""
    fitting = [(rows, cells // rows) for rows in range(1, grid + 1) if cells % rows == 0]
    fitting = [(rows, columns) for rows, columns in fitting if rows <= columns <= grid]
    if not fitting:
        raise ValueError(
            f"{grid} x {grid} tokens cannot be cut into {cells} cells, rows times columns: choose another "
            f"number of latents per frame"
        )
    return fitting[-1]
