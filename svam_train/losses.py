"""The losses of joint training: actions, the video that one pass foresees, and both foresights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.action_expert import ActionExpert
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import Foresight
from svam_train.recipe import NoiseLevels


def draw_noise_levels(levels: NoiseLevels, uniform: Tensor) -> Tensor:
    """Noise levels in the shape of ``uniform``, whose values lie in [0, 1)."""
    location = math.log(levels.median)
    low = _logistic_cdf((math.log(levels.lowest) - location) / levels.spread)
    high = _logistic_cdf((math.log(levels.highest) - location) / levels.spread)
    return torch.exp(location + levels.spread * torch.logit(low + (high - low) * uniform, eps=1e-7))


def action_loss(
    expert: ActionExpert,
    context: Tensor,
    goal: Tensor,
    joints: Tensor,
    actions: Tensor,
    noise: Tensor,
    sigma: Tensor,
) -> Tensor:
    """EDM's denoising loss, with several noise draws for each encoded image.

    Args:
        expert: the action expert.
        context: ``(batch, n, width)`` of the Uni-Perceiver.
        goal: ``(batch, 1, goal_width)``.
        joints: ``(batch, 14)`` normalised.
        actions: ``(batch, horizon, 14)`` normalised.
        noise: ``(draws, batch, horizon, 14)`` standard normal.
        sigma: ``(draws, batch)`` noise levels.

    Returns:
        ``(draws, batch)`` mean squared error of the inner network, weighted as published.
    """
    draws = len(sigma)
    encoded = expert.encode(context, goal, joints)
    keys_values = tuple(
        (key.repeat(draws, 1, 1, 1), value.repeat(draws, 1, 1, 1))
        for key, value in expert.keys_values(encoded)
    )
    errors = expert.denoising_loss(
        actions.repeat(draws, 1, 1), noise.flatten(0, 1), sigma.flatten(), keys_values
    )
    return errors.float().mean(dim=(1, 2)).unflatten(0, sigma.shape)


class TrainingHeads(nn.Module):
    """Linear read-outs that ground what the network foresees; needed in training, not on the robot.

    * pixels: each latent to its patch of the image, so that the latents stay a code of the image;
    * segments: each semantic foresight token to the shares of its patch that each class covers;
    * depth: each geometric foresight token to the mean depth of its patch.
    """

    def __init__(self, config: SvamConfig, classes: int) -> None:
        super().__init__()
        encoder = config.image_encoder
        patch = encoder.image_size // encoder.latent_size
        self.pixels = nn.ConvTranspose2d(encoder.latent_channels, 3, patch, stride=patch)
        self.segments = nn.Linear(config.references.semantic.width, classes)
        self.depth = nn.Linear(config.references.geometric_width, 1)

    def pixel_loss(self, latents: Tensor, images: Tensor) -> Tensor:
        """Mean squared error of ``(n, c, h, w)`` latents against ``(n, 3, s, s)`` images in [-1, 1]."""
        return functional.mse_loss(self.pixels(latents).float(), images)

    def semantic_loss(self, foresight: Foresight, segments: Tensor) -> Tensor:
        """Cross-entropy above its floor against ``(batch, frames, tokens, classes)`` shares."""
        logarithms = torch.log_softmax(self.segments(foresight.semantic).float(), dim=-1)
        entropy = -torch.xlogy(segments, segments).sum(dim=-1)
        return (-(segments * logarithms).sum(dim=-1) - entropy).mean()

    def geometric_loss(self, foresight: Foresight, depth: Tensor, mean: float, deviation: float) -> Tensor:
        """Mean squared error against normalised ``(batch, frames, tokens)`` depth."""
        predicted = self.depth(foresight.geometric).squeeze(-1).float()
        return functional.mse_loss(predicted, (depth - mean) / deviation)


def _logistic_cdf(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
