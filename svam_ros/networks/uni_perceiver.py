"""Uni-Perceiver: features and both foresights of all frames, condensed into a few latents per frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.attention import Mlp, SelfAttention, TwoLayerEmbedding, merge_heads, split_heads
from svam_ros.networks.config import UniPerceiverConfig


@dataclass(frozen=True)
class FusedEmbedding:
    """First layer of the input projection, with the decouplers' last layers multiplied into it.

    Published: one matrix over [features, semantic tokens, geometric tokens]. A sum over its three parts
    is the same, and in the latter two a decoupler's output projection is just another factor.
    """

    feature_weight: Tensor
    """``(hidden_width, feature_width)``."""
    semantic_weight: Tensor
    """``(hidden_width, width of the semantic decoupler)``."""
    geometric_weight: Tensor
    """``(hidden_width, width of the geometric decoupler)``."""
    bias: Tensor
    """``(hidden_width,)``."""


class ResamplingAttention(nn.Module):
    """Latents attend to the tokens of their own frame, and to one another.

    The perceiver resampler of Flamingo (Alayrac et al. 2022, arXiv 2204.14198, section 2.1), frame by frame.
    """

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

    def fuse(self, semantic: nn.Linear, geometric: nn.Linear) -> FusedEmbedding:
        """Multiply the decouplers' output projections into the first layer; once for each set of weights."""
        hidden = self.embedding.hidden
        foresight_widths = [semantic.out_features, geometric.out_features]
        feature_width = hidden.in_features - sum(foresight_widths)
        parts = hidden.weight.split([feature_width, *foresight_widths], dim=1)
        # Wide enough that rounding the product costs no more than rounding a weight.
        wide = torch.promote_types(hidden.weight.dtype, torch.float32)
        feature_weight, semantic_part, geometric_part = (part.to(wide) for part in parts)
        bias = hidden.bias.to(wide)
        bias = bias + semantic_part @ semantic.bias.to(wide) + geometric_part @ geometric.bias.to(wide)
        fused = (
            feature_weight,
            semantic_part @ semantic.weight.to(wide),
            geometric_part @ geometric.weight.to(wide),
            bias,
        )
        return FusedEmbedding(*(part.to(hidden.weight.dtype) for part in fused))

    def forward(
        self, features: Tensor, semantic: Tensor, geometric: Tensor, embedding: FusedEmbedding
    ) -> Tensor:
        """Condense one video.

        Args:
            features: ``(batch, frames, tokens, feature_width)``.
            semantic: ``(batch, frames, tokens, width)`` from the semantic decoupler.
            geometric: ``(batch, frames, tokens, width)`` from the geometric decoupler.
            embedding: from :meth:`fuse`.

        Returns:
            ``(batch, frames * latents_per_frame, width)``; the latents of the first frame come first.
        """
        batch = features.shape[0]
        hidden = (
            functional.linear(features, embedding.feature_weight, embedding.bias)
            + functional.linear(semantic, embedding.semantic_weight)
            + functional.linear(geometric, embedding.geometric_weight)
        )
        tokens = self.embedding.output(functional.gelu(hidden))
        tokens = (tokens + self.frame_positions).flatten(0, 1)
        latents = self.latents.expand(batch, -1, -1, -1).flatten(0, 1)
        for layer in self.layers:
            latents = layer(latents, tokens, self.frames)
        context: Tensor = self.output_norm(latents)
        return context.unflatten(0, (batch, self.frames)).flatten(1, 2)
