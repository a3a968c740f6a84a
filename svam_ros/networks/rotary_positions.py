"""Rotary positions (Su et al. 2021, arXiv 2104.09864, section 3) along two axes, rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor

ROTARY_BASE = 100.0
"""As in Depth Anything 3; the frequencies fall from 1 towards 1 over this."""


def rotation_table(places: Tensor, head_width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine ``(n, head_width)`` for ``(n, 2)`` rows and columns: rows turn the first half."""
    frequencies = ROTARY_BASE ** (-torch.arange(head_width // 4) / (head_width // 4))
    angles = places[:, :, None] * frequencies  # (n, 2, head_width / 4)
    angles = torch.cat([angles, angles], dim=-1).flatten(1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Queries or keys ``(batch, heads, n, head_width)``, each half turned by its own position's angles."""
    first, second = x.unflatten(-1, (2, 2, -1)).unbind(-2)  # each (batch, heads, n, 2, head_width / 4)
    turned = torch.stack([-second, first], dim=-2).flatten(-3)
    return x * cosine + turned * sine
