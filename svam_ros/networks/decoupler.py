"""A foresight decoupler: what one pass foresees, as tokens of a vision foundation model.

Two of them stand side by side (arXiv 2603.16195, section 3.2): the semantic one speaks DINOv2, the
geometric one Depth Anything 3. The reference features of the first frame are added to the features of
every frame through an adapter.

What the Uni-Perceiver takes is the last hidden state: the linear layer from there to the foundation
model's tokens meets the Uni-Perceiver's own first linear layer, and two of them in a row are one.
"""

from __future__ import annotations

from torch import Tensor, nn

from svam_ros.networks.config import DecouplerConfig
from svam_ros.networks.spatiotemporal_block import SpatioTemporalBlock


class Decoupler(nn.Module):
    """Features and a reference to foresight of the reference's kind."""

    def __init__(self, feature_width: int, reference_width: int, config: DecouplerConfig) -> None:
        super().__init__()
        self.adapter = nn.Linear(reference_width, feature_width)
        self.input_norm = nn.LayerNorm(feature_width)
        self.input_projection = nn.Linear(feature_width, config.width)
        self.blocks = nn.ModuleList(
            SpatioTemporalBlock(config.width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.output_norm = nn.LayerNorm(config.width)
        self.output_projection = nn.Linear(config.width, reference_width)

    def forward(self, features: Tensor, reference: Tensor) -> Tensor:
        """Foresight of every frame, before it is put into the foundation model's space.

        Args:
            features: ``(batch, frames, tokens, feature_width)``.
            reference: ``(batch, tokens, reference_width)`` of the first frame.

        Returns:
            ``(batch, frames, tokens, config.width)``; see :meth:`project`.
        """
        # One frame goes through the adapter and is added to all: equal to adapting every copy.
        x = features + self.adapter(reference)[:, None]
        x = self.input_projection(self.input_norm(x))
        for block in self.blocks:
            x = block(x)
        foresight: Tensor = self.output_norm(x)
        return foresight

    def project(self, foresight: Tensor) -> Tensor:
        """What :meth:`forward` gave -> foresight tokens ``(batch, frames, tokens, reference_width)``."""
        tokens: Tensor = self.output_projection(foresight)
        return tokens
