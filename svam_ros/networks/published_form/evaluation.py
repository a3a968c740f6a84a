"""The published evaluation, stage by stage: image, sentence and noise to actions.

Every stage takes the modules it needs, so that one can be measured, or compared, without the others.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor

from svam_ros.networks.published_form.decoupler import ForesightDecoupler
from svam_ros.networks.published_form.depth_anything import DepthAnything
from svam_ros.networks.published_form.dinov2 import DinoV2
from svam_ros.networks.published_form.noise_schedule import first_step, svd_scheduler
from svam_ros.networks.published_form.video_former import VideoFormer
from svam_ros.networks.published_form.video_unet import VideoUNet


def encode_image(vae: AutoencoderKLTemporalDecoder, image: Tensor) -> Tensor:
    """``(batch, 3, 256, 256)`` in [-1, 1] -> the latents' mode ``(batch, 4, 32, 32)``, not scaled."""
    latents: Tensor = vae.encode(image).latent_dist.mode()
    return latents


def backbone_features(unet: VideoUNet, noise: Tensor, image_latents: Tensor, text_states: Tensor) -> Tensor:
    """One denoising step at sigma 700.

    Args:
        unet: the whole UNet.
        noise: ``(batch, frames, 4, 32, 32)`` standard normal.
        image_latents: ``(batch, 4, 32, 32)``.
        text_states: ``(batch, 20, 1024)``.

    Returns:
        ``(batch, frames, 2560, 16, 16)``.
    """
    scaled, timestep = first_step(svd_scheduler(), noise)
    return unet.features(scaled, timestep, image_latents, text_states)


def semantic_reference(dinov2: DinoV2, image: Tensor) -> Tensor:
    """The image in [-1, 1], ``(batch, 3, 224, 224)`` -> ``(batch, 768, 1, 16, 16)``."""
    return as_map(dinov2(image))


def geometric_reference(da3_backbone: DepthAnything, image: Tensor) -> Tensor:
    """``(batch, 3, 224, 224)`` -> ``(batch, 2048, 1, 16, 16)``."""
    return as_map(da3_backbone(image))


def as_map(tokens: Tensor) -> Tensor:
    """Tokens of a square, ``(batch, h * h, width)``, row by row -> ``(batch, width, 1, h, h)``."""
    side = round(tokens.shape[1] ** 0.5)
    return tokens.transpose(1, 2).unflatten(2, (1, side, side))


def foresight(decoupler: ForesightDecoupler, features: Tensor, reference: Tensor) -> Tensor:
    """``(batch, frames, 2560, 16, 16)`` and ``(batch, c, 1, 16, 16)`` -> ``(batch, frames, 256, c)``."""
    tokens: Tensor = decoupler(features, reference)
    return tokens


def context_tokens(
    video_former: VideoFormer, features: Tensor, semantic: Tensor, geometric: Tensor
) -> Tensor:
    """Features ``(batch, frames, 2560, 16, 16)`` and both foresights -> ``(batch, 224, 384)``."""
    tokens = torch.cat([features.flatten(3).transpose(2, 3), semantic, geometric], dim=-1)
    context: Tensor = video_former(tokens)
    return context
