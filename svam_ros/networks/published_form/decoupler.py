"""The foresight decouplers. Published groups ``hidden2dino`` (semantic) and ``hidden2dpa`` (geometric)."""

from __future__ import annotations

from torch import Tensor, nn


class FeedForward(nn.Sequential):
    """Linear, exact GELU, dropout, linear, dropout; dropout does nothing in evaluation."""

    def __init__(self, width: int) -> None:
        layers = (nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * width, width))
        super().__init__(*layers, nn.Dropout(0.1))


class SpatioTemporalBlock(nn.Module):
    """Attention over the pixels of each frame, then over the frames of each pixel; no positions anywhere."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.spatial_norm1 = nn.LayerNorm(width)
        self.spatial_attn = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.spatial_norm2 = nn.LayerNorm(width)
        self.spatial_mlp = FeedForward(width)
        self.temporal_norm1 = nn.LayerNorm(width)
        self.temporal_attn = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.temporal_norm2 = nn.LayerNorm(width)
        self.temporal_mlp = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, frames, h, w, width)`` -> the same shape."""
        batch, frames, height, width = x.shape[:4]
        x = x.flatten(0, 1).flatten(1, 2)  # (batch * frames, h * w, width)
        x = x + attend(self.spatial_attn, self.spatial_norm1(x))
        x = x + self.spatial_mlp(self.spatial_norm2(x))
        x = x.unflatten(0, (batch, frames)).transpose(1, 2).flatten(0, 1)  # (batch * h * w, frames, width)
        x = x + attend(self.temporal_attn, self.temporal_norm1(x))
        x = x + self.temporal_mlp(self.temporal_norm2(x))
        return x.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2, 4)


class SpatioTemporalTransformer(nn.Module):
    """Features to tokens of a vision foundation model; 1024 wide, 4 blocks, 8 heads as published."""

    def __init__(self, input_width: int, width: int, output_width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(input_width)
        self.input_proj = nn.Linear(input_width, width)
        self.blocks = nn.ModuleList(SpatioTemporalBlock(width, heads) for _ in range(layers))
        self.output_norm = nn.LayerNorm(width)
        self.output_proj = nn.Linear(width, output_width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, frames, h, w, input_width)`` -> ``(batch, frames, h, w, output_width)``."""
        x = self.input_proj(self.input_norm(x))
        for block in self.blocks:
            x = block(x)
        output: Tensor = self.output_proj(self.output_norm(x))
        return output


class ForesightDecoupler(nn.Module):
    """The reference of the first frame is added to the features of every frame (the paper concatenates)."""

    def __init__(self, feature_width: int, reference_width: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.adapter = nn.Conv3d(reference_width, feature_width, kernel_size=1)
        self.base_model = SpatioTemporalTransformer(feature_width, width, reference_width, layers, heads)

    def forward(self, features: Tensor, reference: Tensor) -> Tensor:
        """Foresight tokens of every frame.

        Args:
            features: ``(batch, frames, feature_width, h, w)``.
            reference: ``(batch, reference_width, 1, h, w)``; repeated over the frames, each copy adapted.

        Returns:
            ``(batch, frames, h * w, reference_width)``, row by row.
        """
        repeated = reference.repeat(1, 1, features.shape[1], 1, 1)
        adapted = self.adapter(repeated).permute(0, 2, 3, 4, 1)
        foresight: Tensor = self.base_model(features.permute(0, 1, 3, 4, 2) + adapted)
        return foresight.flatten(2, 3)


def attend(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """Self-attention that also computes the weights, which nobody reads."""
    output, _ = attention(x, x, x, need_weights=True)
    return output
