"""Weights and inputs made from a seed, so that a golden set needs to store neither."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from svam_ros.engines.random_model import scale_like_trained

Shapes = Mapping[str, Sequence[int]]
"""Published tensor name to shape."""


def fill(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    """Fp32 values that depend on nothing but the seed, each tensor's name and its shape.

    Scalars have deviation 0.3; for all else see :func:`~svam_ros.engines.random_model.scale_like_trained`.
    """
    return {name: _values(name, tuple(shape), seed) for name, shape in shapes.items()}


def seeded_input(name: str, shape: Sequence[int], seed: int) -> Tensor:
    """A standard normal input of that ``shape``: a matrix of one row, scaled back."""
    key = f"input/{name}/x"
    return fill({key: [1, *shape]}, seed)[key][0] * math.sqrt(math.prod(shape))


def _values(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    normal = torch.randn(shape, generator=generator, dtype=torch.float32)
    return scale_like_trained(name, normal) if shape else 0.3 * normal
