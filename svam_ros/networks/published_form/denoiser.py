"""EDM's preconditioning of the action expert, and the evaluation's sampler. Published group ``model``."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from svam_ros.networks.published_form.action_transformer import DiffusionTransformer

SIGMA_DATA = 0.5


class Denoiser(nn.Module):
    """Karras et al. (2022), table 1: ``D(x) = c_skip x + c_out net(c_in x)``."""

    def __init__(self, inner_model: DiffusionTransformer) -> None:
        super().__init__()
        self.inner_model = inner_model

    def forward(
        self, context: Tensor, goal: Tensor, noised: Tensor, sigma: Tensor, state: Tensor | None = None
    ) -> Tensor:
        """Clean estimate ``(batch, n, action_dim)`` of ``noised`` at noise levels ``(batch,)``."""
        c_skip, c_out, c_in = scalings(sigma)
        return c_skip * noised + c_out * self.inner_model(context, goal, c_in * noised, sigma, state)

    def loss(self, context: Tensor, goal: Tensor, actions: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """The training loss ``()``: squared error of the inner network, averaged over everything."""
        c_skip, c_out, c_in = scalings(sigma)
        noised = actions + noise * sigma[:, None, None]
        target = (actions - c_skip * noised) / c_out
        predicted = self.inner_model(context, goal, c_in * noised, sigma)
        return (predicted - target).pow(2).mean()


def scalings(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """EDM's ``c_skip``, ``c_out`` and ``c_in``, each ``(batch, 1, 1)``, for noise levels ``(batch,)``."""
    sigma = sigma[:, None, None]
    variance = sigma**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / variance, sigma * SIGMA_DATA / variance.sqrt(), 1 / variance.sqrt()


def noise_levels(steps: int, sigma_min: float, sigma_max: float) -> list[float]:
    """``steps`` levels, falling exponentially, and 0. The evaluation takes 10 from 80 to 1.0.

    The weights were trained, and validated during training, with 0.001 as the smallest.
    """
    exponents = torch.linspace(math.log(sigma_max), math.log(sigma_min), steps, dtype=torch.float64)
    return [*exponents.exp().tolist(), 0.0]


def sample(
    denoiser: Denoiser,
    context: Tensor,
    goal: Tensor,
    noise: Tensor,
    levels: list[float],
    state: Tensor | None = None,
) -> Tensor:
    """DDIM from ``levels[0] * noise`` to actions ``(batch, n, action_dim)``; nothing is clipped.

    The context is encoded again at every step.
    """
    x = noise * levels[0]
    for level, next_level in pairwise(levels):
        sigma = torch.full((len(x),), level, dtype=x.dtype, device=x.device)
        denoised = denoiser(context, goal, x, sigma, state)
        x = (next_level / level) * x + (1 - next_level / level) * denoised
    return x
