"""Updates of low rank to a frozen network's attention (LoRA, Hu et al. 2021, arXiv 2106.09685).

A weight becomes ``weight + scale * up @ down``, of which only the two thin factors are trained. ``up``
starts at zero: the network starts as it was.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
"""The linear layers of an attention, as diffusers names them."""


class LowRankUpdate(nn.Module):
    """Adds the update to a weight ``(output, input)``."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        output_width, input_width = weight.shape
        self.down = nn.Parameter(torch.empty(rank, input_width))
        self.up = nn.Parameter(torch.zeros(output_width, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.scale = 1.0 / math.sqrt(rank)
        """Keeps the size of a step alike for all ranks (Kalajdzievski 2023, arXiv 2312.03732)."""

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight, in the precision of the weight whatever the layers around compute in."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight + self.scale * (self.up @ self.down)


def add_low_rank_updates(module: nn.Module, rank: int) -> None:
    """Freeze a network but for new updates of rank ``rank`` to its attention projections.

    Raises:
        ValueError: it has no attention.
    """
    module.requires_grad_(requires_grad=False)
    layers: list[Any] = [
        layer
        for name, layer in module.named_modules()
        if name.endswith(PROJECTIONS) and isinstance(layer, nn.Linear)
    ]
    if not layers:
        raise ValueError("updates of low rank are for attention layers, of which this network has none")
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankUpdate(layer.weight, rank))
        layer.parametrizations.weight.original.requires_grad_(requires_grad=False)


def merged_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of the network without updates that computes the same."""
    state = {
        name: tensor for name, tensor in module.state_dict().items() if ".parametrizations." not in f".{name}"
    }
    layer: Any
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer, "weight"):
            state[f"{name}.weight"] = layer.weight
    return state
