"""From the camera's image to the latents of the video autoencoder."""

from __future__ import annotations

from diffusers.models.autoencoders.vae import Encoder
from torch import Tensor, nn

from svam_ros.networks.config import ImageEncoderConfig


class ImageEncoder(nn.Module):
    """The encoder half of diffusers' ``AutoencoderKLTemporalDecoder``; nothing of the decoder is kept."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(
            in_channels=3,
            out_channels=config.latent_channels,
            down_block_types=("DownEncoderBlock2D",) * len(config.block_widths),
            block_out_channels=config.block_widths,
            layers_per_block=config.layers_per_block,
            norm_num_groups=config.norm_groups,
            double_z=True,
        )
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, each ``(batch, channels, size, size)``."""
        mean, log_variance = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return mean, log_variance

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, image_size, image_size)`` in [-1, 1] -> the mode of the latents, not scaled."""
        mean, _ = self.moments(image)
        return mean
