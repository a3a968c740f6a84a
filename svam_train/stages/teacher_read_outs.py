"""What the tiny teachers are asked about a picture, read linearly off every one of their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

VISIBLE = "visible"
"""Of a batch: ``(n, movable)``, 1 for the things whose centres are known."""


@dataclass(frozen=True)
class Quantity:
    """A quantity that a teacher learns to tell, and how a batch says what is true of it.

    The truth is ``(n, fine, fine, dimensions)`` of patches, or ``(n, things, dimensions)`` of the picture.
    """

    name: str
    """Of the truth in a batch, of the loss and of the read-out."""
    encoder: Literal["semantic", "geometric"]
    error: str
    """Name of its error on held-out pictures: the mean distance of the answers from the truth."""
    of_patches: bool = False
    """Each token answers for its own patches; otherwise every token answers for the whole picture."""
    of_visible: bool = False
    """Counts for what :data:`VISIBLE` says alone."""
    by_component: bool = False
    """Its dimensions are no coordinates of one place: the error is their mean difference, no distance."""


QUANTITIES = (
    Quantity("depth", "geometric", "depth_error_m", of_patches=True),
    Quantity("points", "geometric", "point_error_m", of_patches=True),
    Quantity("centres", "semantic", "centre_error_half_pictures", of_visible=True),
    Quantity("centre_points", "geometric", "centre_error_m", of_visible=True),
    Quantity("joints", "geometric", "joint_error", by_component=True),
)
"""Beside the classes, which are shares. Joints are rad, of grippers m."""


def by_token(values: Tensor, grid: int) -> Tensor:
    """``(n, fine, fine, ...)`` of patches -> ``(n, grid * grid, (fine / grid) ** 2, ...)``: by token."""
    share = values.shape[1] // grid
    blocks = values.unflatten(2, (grid, share)).unflatten(1, (grid, share))  # n, grid, share, grid, share
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def by_place(values: Tensor, grid: int) -> Tensor:
    """Inverse of :func:`by_token`."""
    share = round(values.shape[2] ** 0.5)
    blocks = values.unflatten(2, (share, share)).unflatten(1, (grid, grid))
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class Regression(nn.Module):
    """The read-out of one quantity, in units of its own standard deviation over the data.

    Args:
        quantity: what is told.
        width: of the tokens.
        grid: tokens along a side.
        sample: a batch from which the units are computed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, quantity: Quantity, width: int, grid: int, sample: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.quantity, self._grid = quantity, grid
        truth = self._truth(sample)
        self._shape = truth.shape[2:]
        self.linear = nn.Linear(width, int(np.prod(self._shape)))
        counted = truth[self._counted(sample).expand(truth.shape[:-1]) > 0].double()
        if not len(counted):  # of nothing visible; the loss is 0 then
            counted = torch.zeros(1, truth.shape[-1], dtype=torch.float64)
        self.register_buffer("mean", counted.mean(dim=0).float())
        self.register_buffer("deviation", counted.std(dim=0, correction=0).float().clamp(min=1e-3))

    def forward(self, tokens: Tensor) -> Tensor:
        """``(n, tokens, width)`` -> ``(n, tokens, patches or things, dimensions)``, as the truth is."""
        told: Tensor = self.linear(tokens).float().unflatten(-1, self._shape)
        return told * self.deviation + self.mean

    def loss(self, told: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean absolute difference in units."""
        away = ((told - self._truth(batch)) / self.deviation).abs().mean(dim=-1)
        return self._average(away, batch)

    def error(self, told: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """As :attr:`Quantity.error`, in the truth's own measure."""
        away = told - self._truth(batch)
        far = away.abs().mean(dim=-1) if self.quantity.by_component else away.norm(dim=-1)
        return self._average(far, batch)

    def _truth(self, batch: Mapping[str, Tensor]) -> Tensor:
        """``(n, tokens, patches, dimensions)`` or ``(n, 1, things, dimensions)``."""
        truth = batch[self.quantity.name]
        return by_token(truth, self._grid) if self.quantity.of_patches else truth.unsqueeze(1)

    def _counted(self, batch: Mapping[str, Tensor]) -> Tensor:
        """``(n, 1, patches or things)`` or less, for broadcasting."""
        return batch[VISIBLE].unsqueeze(1) if self.quantity.of_visible else torch.ones(1, 1, 1)

    def _average(self, away: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        counted = self._counted(batch).to(away.device).expand(away.shape)
        return (away * counted).sum() / counted.sum().clamp(min=1.0)
