"""Noise levels, EDM's preconditioning and the deterministic sampler of the action expert.

Karras et al. 2022 (arXiv 2206.00364, "EDM"): equation 7 and, for the factors in it, table 1. The sampler is
DDIM (Song et al. 2020, arXiv 2010.02502, equation 12) written for EDM's noise levels, which is the
first-order solver of Lu et al. 2022 (arXiv 2206.00927, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor


def exponential_sigmas(steps: int, sigma_min: float, sigma_max: float) -> tuple[float, ...]:
    """``steps`` noise levels from ``sigma_max`` to ``sigma_min``, evenly spaced in the logarithm, and 0."""
    if steps == 1:
        return (sigma_max, 0.0)
    ratio = math.log(sigma_min / sigma_max) / (steps - 1)  # sigma_i = sigma_max * exp(ratio * i)
    return (*(sigma_max * math.exp(ratio * step) for step in range(steps)), 0.0)


class EdmScalings(NamedTuple):
    """Preconditioning at one noise level: ``D(x) = skip * x + output * net(input * x)`` (EDM, equation 7)."""

    skip: Tensor | float
    output: Tensor | float
    input: Tensor | float


def edm_scalings(sigma: Tensor, sigma_data: float) -> EdmScalings:
    """EDM's ``c_skip``, ``c_out`` and ``c_in`` (table 1, last column), in the shape of ``sigma``."""
    variance = sigma**2 + sigma_data**2
    root = variance.sqrt()
    skip = sigma_data**2 / variance
    return EdmScalings(skip, output=sigma * sigma_data / root, input=1 / root)


def sample_ddim(denoise: Callable[[Tensor, int], Tensor], noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Follow the denoiser from pure noise down to zero.

    Args:
        denoise: what is left of ``x`` at noise level ``sigmas[step]``, as ``denoise(x, step)``.
        noise: standard normal, in the shape of the result.
        sigmas: falling, the last one 0.

    Returns:
        The last denoised estimate, not clipped.
    """
    x = noise * sigmas[0]  # x_0 ~ N(0, sigma_max^2 I)
    for step, (sigma, next_sigma) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, step)
        ratio = next_sigma / sigma
        x = (
            ratio * x + (1 - ratio) * denoised
        )  # x + (sigma' - sigma) * dx/dsigma, dx/dsigma = (x - D) / sigma
    return x
