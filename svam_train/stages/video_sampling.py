"""Videos in several steps, from the noise of the policy's one pass.

The policy's features come from one pass at the highest noise level; what it learns to foresee in them are
the videos that the same model draws when it goes on from the same noise. So the first of the steps here is
that one pass, and gives its features along with the video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from svam_ros.networks.sampler import edm_scalings, sample_ddim
from svam_ros.networks.svd_backbone import SIGMA, VideoBackbone
from svam_train.recipes.video import VideoSampling


@dataclass(frozen=True)
class SampledVideo:
    """A video and the one pass that it began with."""

    features: Tensor
    """``(batch, frames, tokens, feature_width)`` of the first step: what the policy would have got."""
    latents: Tensor
    """``(batch, frames, c, h, w)`` in units of unit variance, float32 at least."""


def noise_levels(sampling: VideoSampling) -> tuple[float, ...]:
    """``steps`` falling levels that begin with the policy's, and 0 (Karras et al. 2022, equation 5)."""
    last = sampling.steps - 1
    highest, lowest = SIGMA ** (1.0 / sampling.rho), sampling.sigma_min ** (1.0 / sampling.rho)
    between = (highest + step / last * (lowest - highest) for step in range(1, sampling.steps))
    return (SIGMA, *(root**sampling.rho for root in between), 0.0)


def sample_heun(denoise: Callable[[Tensor, int], Tensor], noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """As :func:`svam_ros.networks.sampler.sample_ddim`, of second order but for the last step, to zero."""
    x = noise * sigmas[0]
    for step, (sigma, next_sigma) in enumerate(pairwise(sigmas)):
        slope = (x - denoise(x, step)) / sigma
        ahead = x + (next_sigma - sigma) * slope
        if next_sigma:
            slope = (slope + (ahead - denoise(ahead, step + 1)) / next_sigma) / 2
        x = x + (next_sigma - sigma) * slope
    return x


_METHODS = {"euler": sample_ddim, "heun": sample_heun}


@torch.no_grad()
def sample_videos(
    backbone: VideoBackbone,
    image_latents: Tensor,
    text_states: Tensor,
    noise: Tensor,
    sampling: VideoSampling,
) -> SampledVideo:
    """Draw videos, guided by the text.

    Args:
        backbone: with its video head.
        image_latents: ``(batch, c, h, w)`` of the first frames, not scaled.
        text_states: ``(batch, n, width)``; guidance compares with zeros in their place.
        noise: ``(batch, frames, c, h, w)`` standard normal: that of the policy's pass.
        sampling: how.

    Raises:
        RuntimeError: the backbone was built without the video head.
    """
    sigmas = noise_levels(sampling)
    guidance = torch.linspace(
        sampling.guidance_first, sampling.guidance_last, noise.shape[1], device=noise.device
    )[:, None, None, None]
    guided = (sampling.guidance_first, sampling.guidance_last) != (1.0, 1.0)
    states = torch.cat([text_states, torch.zeros_like(text_states)]) if guided else text_states
    images = torch.cat([image_latents, image_latents]) if guided else image_latents
    text = backbone.project_text(states)
    features: list[Tensor] = []

    def denoise(x: Tensor, step: int) -> Tensor:
        sigma = torch.tensor([sigmas[step]], device=x.device, dtype=x.dtype)
        skip, output, scale = edm_scalings(sigma, sigma_data=1.0)
        # The first step is the policy's pass to the last bit: it is given the noise itself.
        constants = backbone.constants(sigma if step else None)
        scaled = x * scale if step else noise
        passed = backbone(torch.cat([scaled, scaled]) if guided else scaled, images, text, constants)
        if step == 0:
            features.append(passed.features[: len(x)])
        velocity = backbone.predict_velocity(passed, states, constants).to(x.dtype)
        if guided:
            with_text, without = velocity.chunk(2)
            velocity = without + guidance * (with_text - without)
        # The video model predicts the velocity: EDM's output with the other sign.
        return skip * x - output * velocity

    # The noised video over sqrt(sigma^2 + 1), which a pass is given, is the noise itself in the first step.
    precise = noise.to(torch.promote_types(noise.dtype, torch.float32))
    paired = precise * math.sqrt(1.0 + 1.0 / SIGMA**2)
    latents = _METHODS[sampling.method](denoise, paired, sigmas)
    return SampledVideo(features[0], latents)
