"""How much depth there is in geometric tokens: a linear read-out, fitted once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_RIDGE = 1e-4
"""Share of the tokens' mean square that is added to their covariance: keeps the fit away from noise."""


class DepthProbeFit:
    """Ridge regression from tokens to the depth of their patches, fed part by part."""

    def __init__(self) -> None:
        self._products: Tensor | None = None
        self._answers: Tensor | None = None

    def add(self, tokens: Tensor, depth: Tensor) -> None:
        """``(..., width)`` tokens with the depth ``(..., patches)``, m, of the patches that each covers."""
        inputs = _with_one(tokens.detach().cpu().double()).flatten(0, -2)
        products = inputs.T @ inputs
        answers = inputs.T @ depth.detach().cpu().double().flatten(0, -2)
        self._products = products if self._products is None else self._products + products
        self._answers = answers if self._answers is None else self._answers + answers

    def fit(self) -> DepthProbe:
        """The probe that fits everything added so far."""
        assert self._products is not None, "nothing was added"
        assert self._answers is not None
        scale = self._products.diagonal()[:-1].mean()
        penalty = torch.full((len(self._products),), float(_RIDGE * scale), dtype=torch.float64)
        penalty[-1] = 0.0  # the constant is free
        return DepthProbe(torch.linalg.solve(self._products + penalty.diag(), self._answers))


@dataclass(frozen=True)
class DepthProbe:
    """Linear: what it can tell lies open in the tokens."""

    weights: Tensor
    """``(width + 1, patches)`` float64."""

    def depth(self, tokens: Tensor) -> Tensor:
        """``(..., width)`` -> ``(..., patches)`` float32 on the CPU, m."""
        return (_with_one(tokens.detach().cpu().double()) @ self.weights).float()


def _with_one(tokens: Tensor) -> Tensor:
    return torch.cat([tokens, torch.ones_like(tokens[..., :1])], dim=-1)
