"""The transformer block of Depth Anything 3 (arXiv 2511.10647): pre-norm, layer scale, rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.attention import Mlp, merge_heads, split_heads
from svam_ros.networks.rotary_positions import rotate


class GeometricAttention(nn.Module):
    """Self-attention, from some block on with normalised queries and keys and rotary positions."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = nn.LayerNorm(width // heads, eps=1e-5) if qk_norm else nn.Identity()
        self.key_norm = nn.LayerNorm(width // heads, eps=1e-5) if qk_norm else nn.Identity()
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """``(batch, n, width)``; ``rotation`` is the cosine and sine ``(n, head width)`` of every token."""
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        query, key = self.query_norm(query), self.key_norm(key)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        output: Tensor = self.output(merge_heads(functional.scaled_dot_product_attention(query, key, value)))
        return output


class GeometricBlock(nn.Module):
    """Pre-norm transformer block with layer scale."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.attention = GeometricAttention(width, heads, qk_norm=qk_norm)
        self.attention_scale = nn.Parameter(torch.ones(width))
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.mlp_scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """``(batch, n, width)`` -> the same shape."""
        x = x + self.attention_scale * self.attention(self.attention_norm(x), rotation)
        output: Tensor = x + self.mlp_scale * self.mlp(self.mlp_norm(x))
        return output
