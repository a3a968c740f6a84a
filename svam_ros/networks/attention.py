"""The attention that all of our own transformers share: one fused projection, one fused kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def split_heads(x: Tensor, heads: int) -> Tensor:
    """``(batch, n, heads * d)`` -> ``(batch, heads, n, d)``."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Tensor) -> Tensor:
    """``(batch, heads, n, d)`` -> ``(batch, n, heads * d)``."""
    return x.transpose(-3, -2).flatten(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention over the last but one dimension; other leading dimensions are batch."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        causal: bool = False,
        output_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width, bias=output_bias)

    def forward(self, x: Tensor, *, first: int | None = None) -> Tensor:
        """``(..., n, width)`` -> ``(..., n, width)``, or of the ``first`` rows only what they become."""
        # The fused kernels want exactly one batch dimension; and a linear layer without gradients, given a
        # transposed view, would multiply by a copy of its weight for every row of that batch.
        rows = x.reshape(-1, *x.shape[-2:]).contiguous()
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(rows).chunk(3, dim=-1))
        query = query[..., :first, :]
        attended = functional.scaled_dot_product_attention(
            query, key, value, is_causal=self.causal, dropout_p=self.dropout if self.training else 0.0
        )
        output: Tensor = self.output(merge_heads(attended))
        return output.reshape(*x.shape[:-2], -1, x.shape[-1])


class CausalCrossAttention(nn.Module):
    """Query ``i`` attends to keys ``0..i``.

    The published mask is causal and aligned at the top left: keys beyond the number of queries are
    never seen, so the caller passes only as many and the mask becomes an ordinary square one. Where the
    context is shorter than the chunk, the queries beyond its end see all of it.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width, bias=False)

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, n, width)`` -> keys and values, each ``(batch, heads, n, d)``."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        return split_heads(key, self.heads), split_heads(value, self.heads)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """``(batch, n, width)`` and what :meth:`keys_values` gave for at most ``n`` rows.

        Raises:
            ValueError: more keys than queries.
        """
        key, value = keys_values
        queries, keys = x.shape[-2], key.shape[-2]
        if keys > queries:
            raise ValueError(f"{queries} queries never see more keys than their number, got {keys}")
        short = (
            torch.ones(queries, keys, dtype=torch.bool, device=x.device).tril() if keys < queries else None
        )
        attended = functional.scaled_dot_product_attention(
            split_heads(self.query(x), self.heads),
            key,
            value,
            attn_mask=short,
            is_causal=short is None,
            dropout_p=self.dropout if self.training else 0.0,
        )
        output: Tensor = self.output(merge_heads(attended))
        return output


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them, widening by four."""

    def __init__(self, width: int, *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 4 * width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` -> ``(..., width)``."""
        hidden: Tensor = self.dropout(functional.gelu(self.expand(x)))
        output: Tensor = self.contract(hidden)
        return output


class TwoLayerEmbedding(nn.Module):
    """Linear, GELU, linear: how goals, joints and foresight enter a transformer."""

    def __init__(self, input_width: int, hidden_width: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_width, hidden_width)
        self.output = nn.Linear(hidden_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., input_width)`` -> ``(..., width)``."""
        output: Tensor = self.output(functional.gelu(self.hidden(x)))
        return output


def sine_features(positions: Tensor, width: int, *, denominator: int) -> Tensor:
    """Sines, then cosines, of positions at ``width / 2`` frequencies ``10000 ** (-i / denominator)``.

    ``(n,)`` -> ``(n, width)``.
    """
    index = torch.arange(width // 2, device=positions.device, dtype=torch.float32)
    angles = positions[:, None] * 10000.0 ** (-index / denominator)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
