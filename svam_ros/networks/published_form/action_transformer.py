"""The action expert's inner network, encoder and decoder. Published group ``model``, ``inner_model.*``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Attention of ``x`` to a context, or to itself; projections have biases, the output has none."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.key = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``(batch, n, width)`` and ``(batch, m, width)`` -> ``(batch, n, width)``.

        The causal mask is aligned at the top left, also where n and m differ: row i sees context 0 to i.
        """
        context = x if context is None else context
        query, key, value = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.query(x), self.key(context), self.value(context))
        )
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        output: Tensor = self.c_proj(attended.transpose(1, 2).flatten(2))
        return output


class FeedForward(nn.Module):
    """Two linear layers without biases, an exact GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.c_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` -> the same shape."""
        output: Tensor = self.c_proj(functional.gelu(self.c_fc(x)))
        return output


class EncoderBlock(nn.Module):
    """Pre-norm block over the context, no mask, no biases in the norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.attn = Attention(width, heads, causal=False)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.mlp = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, n, width)`` -> the same shape."""
        x = x + self.attn(self.ln_1(x))
        output: Tensor = x + self.mlp(self.ln_2(x))
        return output


class AdaLNZero(nn.Module):
    """Shifts, scales and gates from the noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, sigma_embedding: Tensor) -> tuple[Tensor, ...]:
        """``(batch, 1, width)`` -> six times that: shift, scale, gate of attention, then of the MLP."""
        parts: tuple[Tensor, ...] = self.modulation(sigma_embedding).chunk(6, dim=-1)
        return parts


class DecoderBlock(nn.Module):
    """Causal over the actions and over the context; modulation scales by itself, not by one plus itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.attn = Attention(width, heads, causal=True)
        self.cross_att = Attention(width, heads, causal=True)
        self.ln3 = nn.LayerNorm(width)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.mlp = FeedForward(width)
        self.adaLN_zero = AdaLNZero(width)

    def forward(self, x: Tensor, sigma_embedding: Tensor, context: Tensor) -> Tensor:
        """``(batch, n, width)``, ``(batch, 1, width)``, ``(batch, m, width)`` -> ``(batch, n, width)``."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.adaLN_zero(sigma_embedding)
        x = x + gate_1 * self.attn(shift_1 + self.ln_1(x) * scale_1)
        x = x + self.cross_att(self.ln3(x), context)
        output: Tensor = x + gate_2 * self.mlp(shift_2 + self.ln_2(x) * scale_2)
        return output


class Stack(nn.Module):
    """Blocks and the norm behind them."""

    def __init__(self, blocks: list[nn.Module], width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.ln = nn.LayerNorm(width, bias=False)

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        """``(batch, n, width)`` -> the same shape; every block gets the conditions."""
        for block in self.blocks:
            x = block(x, *conditions)
        output: Tensor = self.ln(x)
        return output


class SigmaSines(nn.Module):
    """Sines, then cosines, of ln(sigma) / 4 at ``width / 2`` frequencies from 1 to 1 / 10000."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequencies = width // 2

    def forward(self, log_sigma: Tensor) -> Tensor:
        """``(batch,)`` -> ``(batch, width)``."""
        index = torch.arange(self.frequencies, dtype=log_sigma.dtype, device=log_sigma.device)
        angles = log_sigma[:, None] * torch.exp(-index * math.log(10000) / (self.frequencies - 1))
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class DiffusionTransformer(nn.Module):
    """384 wide, 4 + 4 blocks, 8 heads as published.

    ``pos_emb`` and ``goal_emb`` are in the state dict and are never used; ``proprio_emb`` only where a
    state is given, which the CALVIN evaluation does not: without ``state_width`` it is not there.
    """

    def __init__(  # noqa: PLR0913 - one number for each size
        self,
        *,
        context_width: int,
        context_length: int,
        goal_width: int,
        state_width: int | None,
        width: int,
        hidden_width: int,
        encoder_layers: int,
        decoder_layers: int,
        heads: int,
        action_dim: int,
        chunk_length: int,
    ) -> None:
        super().__init__()
        self.pos_emb = nn.Parameter(torch.zeros(1, 1 + context_length + chunk_length, width))
        self.tok_emb = nn.Linear(context_width, width)
        self.goal_emb = _two_layers(goal_width, hidden_width, width)
        self.lang_emb = _two_layers(goal_width, hidden_width, width)
        self.encoder = Stack([EncoderBlock(width, heads) for _ in range(encoder_layers)], width)
        self.decoder = Stack([DecoderBlock(width, heads) for _ in range(decoder_layers)], width)
        if state_width is not None:
            self.proprio_emb = _two_layers(state_width, hidden_width, width)
        self.sigma_emb = nn.Sequential(
            SigmaSines(width), nn.Linear(width, hidden_width), nn.Mish(), nn.Linear(hidden_width, width)
        )
        self.action_emb = nn.Linear(action_dim, width)
        self.action_pred = nn.Linear(width, action_dim)

    def forward(
        self, context: Tensor, goal: Tensor, actions: Tensor, sigma: Tensor, state: Tensor | None = None
    ) -> Tensor:
        """One call, encoder included.

        Args:
            context: ``(batch, m, context_width)`` from the Uni-Perceiver.
            goal: ``(batch, 1, goal_width)``.
            actions: ``(batch, n, action_dim)`` scaled by EDM's input scaling.
            sigma: noise levels ``(batch,)``.
            state: ``(batch, 1, state_width)``.

        Returns:
            ``(batch, n, action_dim)``.
        """
        encoded = self.encode(context, goal, state)
        sigma_embedding = self.sigma_emb(sigma.log() / 4).unsqueeze(1)
        decoded = self.decoder(self.action_emb(actions), sigma_embedding, encoded)
        predicted: Tensor = self.action_pred(decoded)
        return predicted

    def encode(self, context: Tensor, goal: Tensor, state: Tensor | None = None) -> Tensor:
        """``(batch, 1 + m (+ 1), width)``: goal, context and state, encoded."""
        tokens = [self.lang_emb(goal), self.tok_emb(context)]
        if state is not None:
            tokens.append(self.proprio_emb(state))
        encoded: Tensor = self.encoder(torch.cat(tokens, dim=1))
        return encoded


def _two_layers(input_width: int, hidden_width: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(input_width, hidden_width), nn.GELU(), nn.Linear(hidden_width, width))
