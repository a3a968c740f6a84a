"""The published groups of weights: how large each is, and a module that takes its state dict as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from svam_ros.networks.config import DecouplerConfig, ReferenceConfig, SvamConfig
from svam_ros.networks.published_form.action_transformer import DiffusionTransformer
from svam_ros.networks.published_form.decoupler import ForesightDecoupler
from svam_ros.networks.published_form.denoiser import Denoiser
from svam_ros.networks.published_form.depth_anything import DepthAnything
from svam_ros.networks.published_form.dinov2 import DinoV2
from svam_ros.networks.published_form.video_former import VideoFormer
from svam_ros.networks.published_form.video_unet import VideoUNet


@dataclass(frozen=True)
class GivenReferences(ReferenceConfig):
    """References that are inputs, as in ``modules`` sets: their width is not tied to an encoder's."""

    given_geometric_width: int

    @property
    def geometric_width(self) -> int:
        """Width of a geometric token."""
        return self.given_geometric_width


@dataclass(frozen=True)
class PublishedSizes:
    """Sizes of a published network: ours, and what only the published files have."""

    network: SvamConfig
    geometric_depth: int = 24
    """Blocks of Depth Anything 3, with those whose output nobody reads."""
    semantic_position_grid: int = 37
    """Side of DINOv2's stored position table, patches (518 / 14)."""
    geometric_position_grid: int = 37
    """The same of Depth Anything 3's."""
    state_width: int | None = 8
    """Input width of ``proprio_emb``, which the evaluation does not use; ``None`` where there is none."""


def build_group(group: str, sizes: PublishedSizes) -> nn.Module:
    """A module whose state dict has the published names of ``group``, with torch's own random weights.

    Raises:
        KeyError: there is no such group; :data:`GROUPS` has the names.
    """
    return GROUPS[group](sizes).eval()


def empty_group(group: str, sizes: PublishedSizes) -> nn.Module:
    """The same without memory for the weights, where no constant buffer forbids it.

    Give it a state dict with ``load_state_dict(..., assign=True)``.
    """
    with torch.device("meta"):
        module = build_group(group, sizes)
    # CLIP counts its positions in a buffer that no file holds; it has to be real.
    return build_group(group, sizes) if any(True for _ in module.buffers()) else module


def _unet(sizes: PublishedSizes) -> nn.Module:
    backbone = sizes.network.backbone
    return VideoUNet.of_sizes(
        block_widths=backbone.block_widths,
        heads=backbone.heads,
        attention_levels=backbone.attention_levels,
        layers_per_block=backbone.layers_per_block,
        latent_channels=sizes.network.image_encoder.latent_channels,
        time_id_width=backbone.time_id_width,
        text_width=2 * sizes.network.text.width,
        frames=backbone.frames,
        time_ids=(
            backbone.frames_per_second_id,
            backbone.motion_bucket_id,
            backbone.noise_augmentation_id,
        ),
    )


def _vae(sizes: PublishedSizes) -> nn.Module:
    encoder = sizes.network.image_encoder
    return AutoencoderKLTemporalDecoder(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(encoder.block_widths),
        block_out_channels=encoder.block_widths,
        layers_per_block=encoder.layers_per_block,
        latent_channels=encoder.latent_channels,
        scaling_factor=encoder.latent_scale,
    )


def _text_encoder(sizes: PublishedSizes) -> nn.Module:
    text = sizes.network.text
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=text.vocabulary_size,
            hidden_size=text.width,
            intermediate_size=text.mlp_width,
            num_hidden_layers=text.layers,
            num_attention_heads=text.heads,
            projection_dim=text.goal_width,
            max_position_embeddings=text.max_positions,
            bos_token_id=text.bos_id,
            eos_token_id=text.eos_id,
            pad_token_id=text.pad_id,
        )
    )


def _dinov2(sizes: PublishedSizes) -> nn.Module:
    references = sizes.network.references
    return DinoV2(
        width=references.semantic.width,
        depth=references.semantic.layers,
        heads=references.semantic.heads,
        registers=references.semantic.registers,
        patch_size=references.patch_size,
        position_grid=sizes.semantic_position_grid,
    )


def _da3_backbone(sizes: PublishedSizes) -> nn.Module:
    references = sizes.network.references
    geometric = references.geometric
    return DepthAnything(
        width=geometric.width,
        depth=sizes.geometric_depth,
        heads=geometric.heads,
        patch_size=references.patch_size,
        position_grid=sizes.geometric_position_grid,
        alternate_from=geometric.alternate_from,
        qk_norm_from=geometric.qk_norm_from,
        rotary_from=geometric.rotary_from,
        output_block=geometric.layers - 1,
    )


def _decoupler(sizes: PublishedSizes, reference_width: int, config: DecouplerConfig) -> nn.Module:
    feature_width = sizes.network.backbone.feature_width
    return ForesightDecoupler(feature_width, reference_width, config.width, config.layers, config.heads)


def _hidden2dino(sizes: PublishedSizes) -> nn.Module:
    network = sizes.network
    return _decoupler(sizes, network.references.semantic.width, network.semantic_decoupler)


def _hidden2dpa(sizes: PublishedSizes) -> nn.Module:
    network = sizes.network
    return _decoupler(sizes, network.references.geometric_width, network.geometric_decoupler)


def _video_former(sizes: PublishedSizes) -> nn.Module:
    network, perceiver = sizes.network, sizes.network.uni_perceiver
    references = network.references
    return VideoFormer(
        input_width=network.backbone.feature_width + references.semantic.width + references.geometric_width,
        hidden_width=perceiver.hidden_width,
        width=perceiver.width,
        layers=perceiver.layers,
        heads=perceiver.heads,
        head_width=perceiver.head_width,
        frames=network.backbone.frames,
        latents_per_frame=perceiver.latents_per_frame,
    )


def _model(sizes: PublishedSizes) -> nn.Module:
    network, expert = sizes.network, sizes.network.action_expert
    return Denoiser(
        DiffusionTransformer(
            context_width=network.uni_perceiver.width,
            context_length=network.backbone.frames * network.uni_perceiver.latents_per_frame,
            goal_width=network.text.goal_width,
            state_width=sizes.state_width,
            width=expert.width,
            hidden_width=expert.hidden_width,
            encoder_layers=expert.encoder_layers,
            decoder_layers=expert.decoder_layers,
            heads=expert.heads,
            action_dim=expert.action_dim,
            chunk_length=expert.pred_horizon,
        )
    )


GROUPS: dict[str, Callable[[PublishedSizes], nn.Module]] = {
    "unet": _unet,
    "vae": _vae,
    "text_encoder": _text_encoder,
    "dinov2": _dinov2,
    "da3_backbone": _da3_backbone,
    "hidden2dino": _hidden2dino,
    "hidden2dpa": _hidden2dpa,
    "Video_Former": _video_former,
    "model": _model,
}
"""Published name to builder."""
