"""CLIP's text model, padded for the UNet and unpadded for the policy. Published group ``text_encoder``."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import CLIPTextModelWithProjection


def unet_text_states(
    clip: CLIPTextModelWithProjection, padded_ids: Tensor, mask: Tensor, *, add_positions: bool
) -> Tensor:
    """What the UNet attends to: the last hidden state, beside itself.

    Args:
        clip: ViT-B/32's text model as published, 512 wide.
        padded_ids: ``(batch, 20)`` int64: begin, words, end, padding.
        mask: ``(batch, 20)``: 1 up to the end mark, 0 for padding.
        add_positions: add fixed sines and cosines of the token's index; off for CALVIN.

    Returns:
        ``(batch, 20, 1024)``.
    """
    states: Tensor = clip(input_ids=padded_ids, attention_mask=mask).last_hidden_state
    if add_positions:
        states = states + sine_positions(states.shape[1], states.shape[2]).to(states)
    return torch.cat([states, states], dim=-1)


def policy_goal(clip: CLIPTextModelWithProjection, unpadded_ids: Tensor) -> Tensor:
    """``(batch, n)`` int64 without padding -> ``(batch, 1, 512)``: state at the end mark, projected.

    It is not normalised.
    """
    embeds: Tensor = clip(input_ids=unpadded_ids).text_embeds
    return embeds.unsqueeze(1)


def sine_positions(length: int, width: int) -> Tensor:
    """``(length, width)``: sines, then cosines, at frequencies ``10000 ** (-2i / width)``."""
    frequencies = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
