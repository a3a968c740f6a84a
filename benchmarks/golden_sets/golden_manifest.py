"""Manifests of new golden sets, from the sizes of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from svam_ros.networks.published_form.groups import GROUPS, PublishedSizes, build_group

MODULES_GROUPS = ("unet", "hidden2dino", "hidden2dpa", "Video_Former", "model", "da3_backbone")
"""What a ``modules`` set holds; an ``end_to_end`` set holds every group."""


def modules_manifest(sizes: PublishedSizes, *, seed: int, batch: int) -> dict[str, Any]:
    """Every module by itself, on ``batch`` samples."""
    network = sizes.network
    config = {
        "batch": batch,
        "frames": network.backbone.frames,
        "grid": network.grid,
        "unet": _unet_config(sizes),
        "heads": network.semantic_decoupler.heads,
        "adim": network.action_expert.action_dim,
        "alen": network.action_expert.pred_horizon,
        **_heads(sizes),
        "da3": _da3_config(sizes),
        "da3_out": [network.references.geometric.layers - 1],
    }
    return {
        "kind": "modules",
        "seed": seed,
        "config": config,
        "state_dict_shapes": _shapes(sizes, MODULES_GROUPS),
    }


def end_to_end_manifest(
    sizes: PublishedSizes, *, seed: int, text: str, padded_ids: Sequence[int], unpadded_ids: Sequence[int]
) -> dict[str, Any]:
    """One image and one sentence to actions."""
    network = sizes.network
    expert = network.action_expert
    config = {
        "frames": network.backbone.frames,
        "grid": network.grid,
        "image": network.image_encoder.image_size,
        "unet": _unet_config(sizes),
        "text_encoder": {
            "num_attention_heads": network.text.heads,
            "bos_token_id": network.text.bos_id,
            "eos_token_id": network.text.eos_id,
        },
        "dinov2": {"num_heads": network.references.semantic.heads},
        "da3": _da3_config(sizes),
        "da3_blocks": [network.references.geometric.layers - 1],
        "decoupler": {"heads": network.semantic_decoupler.heads},
        "action_dim": expert.action_dim,
        "chunk": expert.pred_horizon,
        "sigma_min": expert.sigma_min,
        "sigma_max": expert.sigma_max,
        "steps": expert.sampler_steps,
        "text_positions": network.text.add_positions,
        "reference_images": network.references.normalization,
        **_heads(sizes),
    }
    return {
        "kind": "end_to_end",
        "seed": seed,
        "text": text,
        "token_ids": {"text_token_ids": [list(padded_ids)], "goal_token_ids": [list(unpadded_ids)]},
        "config": config,
        "state_dict_shapes": _shapes(sizes, tuple(GROUPS)),
    }


def _shapes(sizes: PublishedSizes, groups: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    with torch.device("meta"):
        modules = {group: build_group(group, sizes) for group in groups}
    return {
        group: {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
        for group, module in modules.items()
    }


def _heads(sizes: PublishedSizes) -> dict[str, int]:
    network = sizes.network
    return {"vf_heads": network.uni_perceiver.heads, "expert_heads": network.action_expert.heads}


def _unet_config(sizes: PublishedSizes) -> dict[str, Any]:
    return {"num_attention_heads": list(sizes.network.backbone.heads)}


def _da3_config(sizes: PublishedSizes) -> dict[str, Any]:
    geometric = sizes.network.references.geometric
    return {
        "num_heads": geometric.heads,
        "alt_start": geometric.alternate_from,
        "qknorm_start": geometric.qk_norm_from,
        "rope_start": geometric.rotary_from,
    }
