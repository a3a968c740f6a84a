"""The parts of a vision transformer that DINOv2 and Depth Anything 3 share, under their published names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Rotate = Callable[[Tensor], Tensor]
"""Turns queries or keys ``(batch, heads, n, d)`` by their positions."""


class PatchEmbed(nn.Module):
    """Non-overlapping patches to tokens, row by row."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, s, s)`` -> ``(batch, (s / patch)^2, width)``."""
        tokens: Tensor = self.proj(image).flatten(2).transpose(1, 2)
        return tokens


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` -> the same shape."""
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention; some blocks normalise queries and keys and turn them by their positions."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        if qk_norm:
            self.q_norm = nn.LayerNorm(width // heads, eps=1e-5)
            self.k_norm = nn.LayerNorm(width // heads, eps=1e-5)
        self.qk_norm = qk_norm
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, rotate: Rotate | None) -> Tensor:
        """``(batch, n, width)`` -> the same shape."""
        batch, count, width = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        if self.qk_norm:
            query, key = self.q_norm(query), self.k_norm(key)
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, count, width))
        return output


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` -> the same shape."""
        output: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return output


class Block(nn.Module):
    """Pre-norm block with layer scale."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, qk_norm=qk_norm)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor, rotate: Rotate | None = None) -> Tensor:
        """``(batch, n, width)`` -> the same shape."""
        x = x + self.ls1(self.attn(self.norm1(x), rotate))
        output: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return output
