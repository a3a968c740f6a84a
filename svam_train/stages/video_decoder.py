"""From latents back to pictures: in training only, the robot never decodes."""

from __future__ import annotations

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import TemporalDecoder
from diffusers.models.autoencoders.vae import Decoder
from torch import Tensor, nn

from svam_ros.networks.config import ImageEncoderConfig
from svam_ros.networks.presets import CALVIN
from svam_train.training.objective import ImageArray

_TEMPORAL_GROUPS = CALVIN.image_encoder.norm_groups
"""Groups of every group norm in diffusers' temporal decoder; not adjustable there."""


class VideoDecoder(nn.Module):
    """The decoder half of the video autoencoder.

    At published sizes that of diffusers' ``AutoencoderKLTemporalDecoder``, under its names. Levels narrower
    than its group norms allow get diffusers' image decoder, which decodes every frame by itself.
    """

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.temporal = config.norm_groups == _TEMPORAL_GROUPS
        self.decoder: nn.Module
        if self.temporal:
            self.decoder = TemporalDecoder(
                in_channels=config.latent_channels,
                out_channels=3,
                block_out_channels=config.block_widths,
                layers_per_block=config.layers_per_block,
            )
        else:
            self.decoder = Decoder(
                in_channels=config.latent_channels,
                out_channels=3,
                up_block_types=("UpDecoderBlock2D",) * len(config.block_widths),
                block_out_channels=config.block_widths,
                layers_per_block=config.layers_per_block,
                norm_num_groups=config.norm_groups,
            )

    def forward(self, latents: Tensor) -> Tensor:
        """``(batch, frames, c, h, w)``, not scaled -> ``(batch, frames, 3, size, size)``, about [-1, 1]."""
        batch, frames = latents.shape[:2]
        flat = latents.flatten(0, 1)
        if self.temporal:
            videos_only = torch.zeros(batch, frames, device=latents.device, dtype=latents.dtype)
            decoded = self.decoder(flat, image_only_indicator=videos_only, num_frames=frames)
        else:
            decoded = self.decoder(flat)
        pictures: Tensor = decoded.unflatten(0, (batch, frames))
        return pictures

    def decode_video(self, video: Tensor) -> Tensor:
        """As :meth:`forward`, of latents in units of unit variance: what the video model predicts."""
        decoded: Tensor = self(video / self.config.latent_scale)
        return decoded


def as_picture(rows: list[Tensor]) -> ImageArray:
    """Rows of pictures as one picture.

    Args:
        rows: each ``(n, 3, size, size)``, about [-1, 1].

    Returns:
        ``(rows * size, n * size, 3)`` uint8.
    """
    grid = torch.cat([torch.cat(list(row.float().cpu()), dim=2) for row in rows], dim=1)
    levels = ((grid + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).numpy())
