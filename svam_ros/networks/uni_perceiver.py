"""Uni-Perceiver: features and both foresights of all frames, condensed into a few latents per frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.attention import Mlp, SelfAttention, TwoLayerEmbedding, merge_heads, split_heads
from svam_ros.networks.config import UniPerceiverConfig


class ResamplingAttention(nn.Module):
    """Latents attend to the tokens of their own frame, and to one another."""

    def __init__(self, config: UniPerceiverConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.token_norm = nn.LayerNorm(config.width)
        self.latent_norm = nn.LayerNorm(config.width)
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key_value = nn.Linear(config.width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, config.width, bias=False)

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """``latents`` ``(frames, q, width)``, ``tokens`` ``(frames, n, width)`` -> ``(frames, q, width)``."""
        latents = self.latent_norm(latents)
        media = torch.cat([self.token_norm(tokens), latents], dim=1)
        key, value = self.key_value(media).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            split_heads(self.query(latents), self.heads),
            split_heads(key, self.heads),
            split_heads(value, self.heads),
        )
        output: Tensor = self.output(merge_heads(attended))
        return output


class UniPerceiverLayer(nn.Module):
    """Resample within each frame, exchange along time, MLP; the temporal part has no norm in front."""

    def __init__(self, config: UniPerceiverConfig) -> None:
        super().__init__()
        self.resampling = ResamplingAttention(config)
        self.temporal_attention = SelfAttention(config.width, config.heads)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp = Mlp(config.width, bias=False)

    def forward(self, latents: Tensor, tokens: Tensor, frames: int) -> Tensor:
        """``latents`` ``(batch * frames, q, width)``, ``tokens`` ``(batch * frames, n, width)``."""
        latents = latents + self.resampling(latents, tokens)
        video = latents.unflatten(0, (-1, frames))
        video = video + self.temporal_attention(video.transpose(1, 2)).transpose(1, 2)
        output: Tensor = video + self.mlp(self.mlp_norm(video))
        return output.flatten(0, 1)


class UniPerceiver(nn.Module):
    """The context of the action expert, ``latents_per_frame`` tokens for every frame."""

    def __init__(self, input_width: int, frames: int, config: UniPerceiverConfig) -> None:
        super().__init__()
        self.frames = frames
        self.embedding = TwoLayerEmbedding(input_width, config.hidden_width, config.width)
        self.frame_positions = nn.Parameter(torch.randn(frames, 1, config.width))
        self.latents = nn.Parameter(torch.randn(frames, config.latents_per_frame, config.width))
        self.layers = nn.ModuleList(UniPerceiverLayer(config) for _ in range(config.layers))
        self.output_norm = nn.LayerNorm(config.width)

    def forward(self, features: Tensor, semantic: Tensor, geometric: Tensor) -> Tensor:
        """Three times ``(batch, frames, tokens, its width)`` -> ``(batch, frames * q, width)``.

        The latents of the first frame come first.
        """
        batch = features.shape[0]
        tokens = self.embedding(torch.cat([features, semantic, geometric], dim=-1))
        tokens = (tokens + self.frame_positions).flatten(0, 1)
        latents = self.latents.expand(batch, -1, -1, -1).flatten(0, 1)
        for layer in self.layers:
            latents = layer(latents, tokens, self.frames)
        context: Tensor = self.output_norm(latents)
        return context.unflatten(0, (batch, self.frames)).flatten(1, 2)
