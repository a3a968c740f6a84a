"""The video backbone: Stable Video Diffusion's UNet (arXiv 2311.15127), run once at its highest noise level.

The published policy runs a single denoising step (sigma 700) and takes what the first two up blocks
hold as features; the rest of the UNet is not needed on the robot. Training needs it to predict video,
so it can be kept as :class:`VideoHead`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.unet_blocks import (
    ResidualConstants,
    TextAttention,
    embed_frame_positions,
    fold_time,
    pass_inputs,
    project_text,
    residual_layers,
    run_down_block,
    run_mid_block,
    run_up_block,
    transformer_layers,
)

SIGMA = 700.0
"""Noise level of the one step: index 0 of SVD's schedule, whatever length the schedule has."""

TIMESTEP = 0.25 * math.log(SIGMA)
"""How the UNet is told about ``SIGMA``."""

FEATURE_UP_BLOCKS = 2
"""Features are taken after these up blocks."""


@dataclass(frozen=True)
class BackboneConstants:
    """What depends on the weights only."""

    time_embedding: Tensor
    """``(1, 4 * first width)``: sigma and time ids, or a row for each sample. The video head folds it in by
    itself."""
    residuals: Mapping[str, ResidualConstants]
    """Of every residual block, by its name, with the time embedding in them."""
    frame_positions: Mapping[str, Tensor]
    """``(frames, c)`` for every transformer, by its name."""


@dataclass(frozen=True)
class BackboneOutput:
    """What one pass gives."""

    features: Tensor
    """``(batch, frames, grid * grid, feature_width)``, tokens row by row."""
    second: Tensor
    """``(batch * frames, c, h, w)`` after the second up block: where the video head goes on."""
    skips: list[Tensor]
    """Outputs of the way down that the video head takes."""


class VideoHead(nn.Module):
    """The rest of the UNet: from the second up block to the predicted video. For training only."""

    def __init__(self, unet: UNetSpatioTemporalConditionModel) -> None:
        super().__init__()
        self.up_blocks = unet.up_blocks[FEATURE_UP_BLOCKS:]
        self.conv_norm_out = unet.conv_norm_out
        self.conv_out = unet.conv_out
        self.recompute = False
        """As :attr:`VideoBackbone.recompute`, which sets it."""

    def forward(
        self, x: Tensor, skips: list[Tensor], time_embedding: Tensor, text_states: Tensor, frames: int
    ) -> Tensor:
        """``(batch * frames, latent_channels, h, w)``: SVD's v-prediction."""
        blocks = _named("up_blocks", self.up_blocks)
        transformers = transformer_layers(blocks)
        inputs = pass_inputs(
            blocks,
            frames,
            {name: fold_time(layer, time_embedding) for name, layer in residual_layers(blocks).items()},
            {name: project_text(layer, text_states) for name, layer in transformers.items()},
            {name: embed_frame_positions(layer, frames) for name, layer in transformers.items()},
            recompute=self.recompute,
        )
        for name, block in blocks.items():
            x = run_up_block(name, block, x, skips, inputs)
        predicted: Tensor = self.conv_out(functional.silu(self.conv_norm_out(x)))
        return predicted


class VideoBackbone(nn.Module):
    """One pass from noise and the first frame's latents to spatio-temporal features.

    The submodules are those of diffusers' ``UNetSpatioTemporalConditionModel``, under its names.
    """

    def __init__(self, config: SvamConfig, *, with_video_head: bool = False) -> None:
        super().__init__()
        self.config = config.backbone
        unet = _build_unet(config)
        self.conv_in = unet.conv_in
        self.time_proj = unet.time_proj
        self.time_embedding = unet.time_embedding
        self.add_time_proj = unet.add_time_proj
        self.add_embedding = unet.add_embedding
        self.down_blocks = unet.down_blocks
        self.mid_block = unet.mid_block
        self.up_blocks = unet.up_blocks[:FEATURE_UP_BLOCKS]
        self.video_head = VideoHead(unet) if with_video_head else None
        self.recompute = False
        """Whether training computes every layer's activations twice instead of keeping them ("gradient
        checkpointing"); see :meth:`recompute_activations`."""

    def recompute_activations(self, recompute: bool) -> None:
        """Trade memory of training for a second forward of every layer, or not."""
        self.recompute = recompute
        if self.video_head is not None:
            self.video_head.recompute = recompute

    def forward(
        self,
        noise: Tensor,
        image_latents: Tensor,
        text: Mapping[str, TextAttention],
        constants: BackboneConstants,
    ) -> BackboneOutput:
        """One pass up to the second up block.

        Args:
            noise: ``(batch, frames, c, h, w)`` standard normal, in place of the noised video. With
                ``constants`` of other noise levels than :data:`SIGMA`: the noised video over
                ``sqrt(sigma^2 + 1)``.
            image_latents: ``(batch, c, h, w)`` of the first frame, shown beside every frame.
            text: from :meth:`project_text`.
            constants: from :meth:`constants`.

        Raises:
            InputError: text or constants are of a network with other layers.
        """
        frames = self.config.frames
        inputs = pass_inputs(
            self._blocks(),
            frames,
            constants.residuals,
            text,
            constants.frame_positions,
            recompute=self.recompute,
        )
        repeated = image_latents[:, None].expand(-1, frames, -1, -1, -1)
        x = self.conv_in(torch.cat([noise, repeated], dim=2).flatten(0, 1))
        skips = [x]
        for name, block in _named("down_blocks", self.down_blocks).items():
            x, level_skips = run_down_block(name, block, x, inputs)
            skips += level_skips
        x = run_mid_block("mid_block", self.mid_block, x, inputs)
        first = run_up_block("up_blocks.0", self.up_blocks[0], x, skips, inputs)
        second = run_up_block("up_blocks.1", self.up_blocks[1], first, skips, inputs)
        upsampled = functional.interpolate(first, scale_factor=2.0, mode="nearest")
        features = torch.cat([upsampled, second], dim=1).flatten(2).transpose(1, 2)
        # In memory as it is read: the linear layers and norms after it would each make a copy.
        return BackboneOutput(features.contiguous().unflatten(0, noise.shape[:2]), second, skips)

    def predict_video(
        self, noise: Tensor, output: BackboneOutput, text_states: Tensor, constants: BackboneConstants
    ) -> Tensor:
        """The video that one step foresees.

        Args:
            noise: as :meth:`forward` got it.
            output: what :meth:`forward` gave.
            text_states: ``(batch, n, width)``.
            constants: from :meth:`constants`.

        Returns:
            Denoised latents ``(batch, frames, c, h, w)`` in units of unit variance (latents times
            ``latent_scale``).

        Raises:
            RuntimeError: this backbone was built without the video head.
        """
        velocity = self.predict_velocity(output, text_states, constants)
        # EDM's v-prediction (Blattmann et al. 2023, arXiv 2311.15127): c_skip is 1 / (sigma^2 + 1), c_out
        # -sigma / sqrt(sigma^2 + 1). At this sigma the noised video is all but sqrt(sigma^2 + 1) * noise.
        root = math.sqrt(SIGMA**2 + 1)
        return noise / root - velocity * (SIGMA / root)

    def predict_velocity(
        self, output: BackboneOutput, text_states: Tensor, constants: BackboneConstants
    ) -> Tensor:
        """SVD's v-prediction ``(batch, frames, c, h, w)`` at the noise level of ``constants``.

        Consumes the skips of ``output``; arguments and errors as of :meth:`predict_video`.
        """
        if self.video_head is None:
            raise RuntimeError("predicting video needs a network built with with_video_head=True")
        frames = self.config.frames
        velocity: Tensor = self.video_head(
            output.second, output.skips, constants.time_embedding, text_states, frames
        )
        return velocity.unflatten(0, (-1, frames))

    @property
    def text_blocks(self) -> tuple[str, ...]:
        """Names of the transformers, each of which sees the text in its own way."""
        return tuple(transformer_layers(self._blocks()))

    def project_text(self, text_states: Tensor) -> dict[str, TextAttention]:
        """What every cross-attention needs of text states ``(batch, n, width)``, by transformer."""
        transformers = transformer_layers(self._blocks())
        return {name: project_text(layer, text_states) for name, layer in transformers.items()}

    def constants(self, sigma: Tensor | None = None) -> BackboneConstants:
        """Everything that changes only with the weights and the noise level.

        Args:
            sigma: ``(batch,)`` noise levels, one for each sample, or ``(1,)`` for all; by default
                :data:`SIGMA`, that of the one step.
        """
        weight = self.conv_in.weight
        config = self.config
        timestep = torch.tensor([TIMESTEP], device=weight.device, dtype=torch.float32)
        if sigma is not None:
            timestep = 0.25 * sigma.to(weight.device, torch.float32).log()
        time_ids = torch.tensor(
            [config.frames_per_second_id, config.motion_bucket_id, config.noise_augmentation_id],
            device=weight.device,
        )
        time = self.time_embedding(self.time_proj(timestep).to(weight.dtype))
        time = time + self.add_embedding(self.add_time_proj(time_ids).reshape(1, -1).to(weight.dtype))
        residuals, transformers = residual_layers(self._blocks()), transformer_layers(self._blocks())
        return BackboneConstants(
            time,
            {name: fold_time(layer, time) for name, layer in residuals.items()},
            {name: embed_frame_positions(layer, config.frames) for name, layer in transformers.items()},
        )

    def _blocks(self) -> dict[str, nn.Module]:
        down, up = _named("down_blocks", self.down_blocks), _named("up_blocks", self.up_blocks)
        return {**down, "mid_block": self.mid_block, **up}


def _named(name: str, blocks: nn.ModuleList) -> dict[str, nn.Module]:
    return {f"{name}.{i}": block for i, block in enumerate(blocks)}


def _build_unet(config: SvamConfig) -> UNetSpatioTemporalConditionModel:
    backbone = config.backbone
    latent_channels = config.image_encoder.latent_channels
    down = ["CrossAttnDownBlock" if attends else "DownBlock" for attends in backbone.attention_levels]
    up = ["CrossAttnUpBlock" if attends else "UpBlock" for attends in reversed(backbone.attention_levels)]
    return UNetSpatioTemporalConditionModel(
        in_channels=2 * latent_channels,
        out_channels=latent_channels,
        down_block_types=tuple(f"{kind}SpatioTemporal" for kind in down),
        up_block_types=tuple(f"{kind}SpatioTemporal" for kind in up),
        block_out_channels=backbone.block_widths,
        addition_time_embed_dim=backbone.time_id_width,
        projection_class_embeddings_input_dim=3 * backbone.time_id_width,
        layers_per_block=backbone.layers_per_block,
        cross_attention_dim=2 * config.text.width,
        num_attention_heads=backbone.heads,
        num_frames=backbone.frames,
    )
