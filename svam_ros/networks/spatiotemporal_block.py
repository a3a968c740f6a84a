"""The decouplers' block: attention within each frame, then along time, each followed by an MLP."""

from __future__ import annotations

from torch import Tensor, nn

from svam_ros.networks.attention import Mlp, SelfAttention


class SpatioTemporalBlock(nn.Module):
    """Pre-norm residual block without positions: order comes from the features themselves."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.spatial_norm = nn.LayerNorm(width)
        self.spatial_attention = SelfAttention(width, heads, dropout=dropout)
        self.spatial_mlp_norm = nn.LayerNorm(width)
        self.spatial_mlp = Mlp(width, dropout=dropout)
        self.temporal_norm = nn.LayerNorm(width)
        self.temporal_attention = SelfAttention(width, heads, dropout=dropout)
        self.temporal_mlp_norm = nn.LayerNorm(width)
        self.temporal_mlp = Mlp(width, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, frames, tokens, width)`` -> the same shape."""
        x = x + self.spatial_attention(self.spatial_norm(x))
        x = x + self.dropout(self.spatial_mlp(self.spatial_mlp_norm(x)))
        along_time = self.temporal_norm(x).transpose(1, 2)
        x = x + self.temporal_attention(along_time).transpose(1, 2)
        return x + self.dropout(self.temporal_mlp(self.temporal_mlp_norm(x)))
