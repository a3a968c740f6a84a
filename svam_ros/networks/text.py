"""The instruction's encoder: one causal pass gives the backbone's context and the policy's goal.

The published pipeline runs CLIP's text model twice, once padded for the backbone and once unpadded
for the action expert. Attention is causal, so padding changes nothing at or before the end mark, and
one padded pass gives both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from svam_ros.networks.attention import sine_features
from svam_ros.networks.config import TextConfig


@dataclass(frozen=True)
class EncodedText:
    """What one instruction becomes."""

    states: Tensor
    """``(batch, length, 2 * width)``: hidden states beside themselves, as the backbone expects them."""
    goal: Tensor
    """``(batch, 1, goal_width)``: state at the end mark, projected, not normalised."""


class TextEncoder(nn.Module):
    """The text half of CLIP (Radford et al. 2021, arXiv 2103.00020, section 2.4) with its projection."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.clip = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=config.vocabulary_size,
                hidden_size=config.width,
                intermediate_size=config.mlp_width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                projection_dim=config.goal_width,
                max_position_embeddings=config.max_positions,
                bos_token_id=config.bos_id,
                eos_token_id=config.eos_id,
                pad_token_id=config.pad_id,
            )
        )

    def forward(self, token_ids: Tensor, attention_mask: Tensor) -> EncodedText:
        """Token ids and mask (1 for text, 0 for padding), each ``(batch, length)`` int64."""
        output = self.clip(input_ids=token_ids, attention_mask=attention_mask)
        states: Tensor = output.last_hidden_state
        if self.config.add_positions:
            width = self.config.width
            positions = torch.arange(states.shape[1], device=states.device, dtype=torch.float32)
            states = states + sine_features(positions, width, denominator=width // 2).to(states.dtype)
        return EncodedText(torch.cat([states, states], dim=-1), output.text_embeds[:, None])
