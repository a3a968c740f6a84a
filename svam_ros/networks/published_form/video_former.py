"""The Uni-Perceiver. Published group ``Video_Former``."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PerceiverAttention(nn.Module):
    """Latents attend to the tokens of their frame and to one another; no biases."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_width**-0.5
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_k = nn.Linear(width, heads * head_width, bias=False)
        self.to_v = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width, bias=False)

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """``(batch * frames, q, width)`` and ``(batch * frames, n, width)`` -> shape of the first."""
        latents = self.norm_latents(latents)
        media = torch.cat([self.norm_media(tokens), latents], dim=1)
        query, key, value = (
            _heads(x, self.heads) for x in (self.to_q(latents), self.to_k(media), self.to_v(media))
        )
        weights = (query * self.scale @ key.transpose(-1, -2)).softmax(dim=-1)
        output: Tensor = self.to_out((weights @ value).transpose(1, 2).flatten(2))
        return output


class TemporalAttention(nn.Module):
    """Every latent attends to itself in all frames. There is no norm in front of it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch * q, frames, width)`` -> the same shape."""
        query, key, value = (_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        scores = scores + torch.ones(
            x.shape[1], x.shape[1], dtype=x.dtype, device=x.device
        )  # the mask: no effect
        output: Tensor = self.proj((scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))
        return output


class VideoFormerLayer(nn.ModuleList):
    """Attention within each frame, attention along time, and an MLP, each added to what came in."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width, bias=False),
            nn.GELU(),
            nn.Linear(4 * width, width, bias=False),
        )
        super().__init__(
            [PerceiverAttention(width, heads, head_width), TemporalAttention(width, heads), feed_forward]
        )

    def forward(self, x: Tensor, tokens: Tensor, frames: int) -> Tensor:
        """``(batch * frames, q, width)`` and ``(batch * frames, n, width)`` -> the shape of the first."""
        within_frame, along_time, feed_forward = self
        x = x + within_frame(x, tokens)
        tracks = x.unflatten(0, (-1, frames)).transpose(1, 2)  # (batch, q, frames, width)
        latents = tracks.flatten(0, 1)
        moved = (latents + along_time(latents)).unflatten(0, tracks.shape[:2])
        x = moved.transpose(1, 2).flatten(0, 1)
        output: Tensor = x + feed_forward(x)
        return output


class VideoFormer(nn.Module):
    """Features and foresights to a few latents per frame; 384 wide, 6 layers, 14 latents as published."""

    def __init__(
        self,
        *,
        input_width: int,
        hidden_width: int,
        width: int,
        layers: int,
        heads: int,
        head_width: int,
        frames: int,
        latents_per_frame: int,
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(frames, latents_per_frame, width))
        self.time_pos_emb = nn.Parameter(torch.zeros(frames, 1, width))
        self.goal_emb = nn.Sequential(
            nn.Linear(input_width, hidden_width), nn.GELU(), nn.Linear(hidden_width, width)
        )
        self.layers = nn.ModuleList(VideoFormerLayer(width, heads, head_width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Context for the action expert.

        Args:
            tokens: ``(batch, frames, n, input_width)``: features, semantic and geometric foresight.

        Returns:
            ``(batch, frames * latents_per_frame, width)``, the latents of the first frame first.
        """
        batch, frames = tokens.shape[:2]
        embedded = (self.goal_emb(tokens) + self.time_pos_emb).flatten(0, 1)
        x = self.latents.repeat(batch, 1, 1)
        for layer in self.layers:
            x = layer(x, embedded, frames)
        normalised: Tensor = self.norm(x)
        return normalised.unflatten(0, (batch, frames)).flatten(1, 2)


def _heads(x: Tensor, heads: int) -> Tensor:
    """``(batch, n, heads * d)`` -> ``(batch, heads, n, d)``."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
