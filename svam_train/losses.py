"""The losses of joint training: actions, the video that one pass foresees, and both foresights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.action_expert import ActionExpert
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import ForesightTokens
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
    goal_token: Tensor,
    joints: Tensor,
    actions: Tensor,
    noise: Tensor,
    sigma: Tensor,
) -> Tensor:
    """EDM's denoising loss, with several noise draws for each encoded image.

    Args:
        expert: the action expert.
        context: ``(batch, n, width)`` of the Uni-Perceiver.
        goal_token: ``(batch, 1, width)`` of the condition.
        joints: ``(batch, 14)`` normalised.
        actions: ``(batch, horizon, 14)`` normalised.
        noise: ``(draws, batch, horizon, 14)`` standard normal.
        sigma: ``(draws, batch)`` noise levels.

    Returns:
        ``(draws, batch)`` mean squared error of the inner network, weighted as published.
    """
    draws = len(sigma)
    encoded = expert.encode(context, goal_token, joints)
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
    * depth: each geometric foresight token to the mean depth of its patch;
    * places: the Uni-Perceiver's latents of a frame to where in the picture the movable things are.
      Without it the latents take long to look at the objects: measured joints predict most of a motion;
    * rests: the same latents of the first frame to the joint targets at which the arms come to rest next.
      It does not depend on when, so it stays sharp where the action loss is mostly about timing.
    """

    def __init__(self, config: SvamConfig, classes: int, movable: int) -> None:
        super().__init__()
        encoder = config.image_encoder
        patch = encoder.image_size // encoder.latent_size
        self.pixels = nn.ConvTranspose2d(encoder.latent_channels, 3, patch, stride=patch)
        self.segments = nn.Linear(config.references.semantic.width, classes)
        self.depth = nn.Linear(config.references.geometric_width, 1)
        perceiver = config.uni_perceiver
        self.latents_per_frame = perceiver.latents_per_frame
        self.places = nn.Linear(perceiver.latents_per_frame * perceiver.width, 2 * movable)
        self.rests = nn.Linear(perceiver.latents_per_frame * perceiver.width, config.action_expert.action_dim)

    def pixel_loss(self, latents: Tensor, images: Tensor) -> Tensor:
        """Mean squared error of ``(n, c, h, w)`` latents against ``(n, 3, s, s)`` images in [-1, 1]."""
        return functional.mse_loss(self.pixels(latents).float(), images)

    def semantic_loss(self, foresight: ForesightTokens, segments: Tensor) -> Tensor:
        """Cross-entropy above its floor against ``(batch, frames, tokens, classes)`` shares."""
        logarithms = torch.log_softmax(self.segments(foresight.semantic).float(), dim=-1)
        entropy = -torch.xlogy(segments, segments).sum(dim=-1)
        return (-(segments * logarithms).sum(dim=-1) - entropy).mean()

    def geometric_loss(
        self, foresight: ForesightTokens, depth: Tensor, mean: float, deviation: float
    ) -> Tensor:
        """Mean squared error against normalised ``(batch, frames, tokens)`` depth."""
        predicted = self.depth(foresight.geometric).squeeze(-1).float()
        return functional.mse_loss(predicted, (depth - mean) / deviation)

    def place_loss(self, context: Tensor, places: Tensor, visible: Tensor) -> Tensor:
        """How far off the things are located.

        Args:
            context: ``(batch, frames * latents_per_frame, width)`` of the Uni-Perceiver.
            places: ``(batch, frames, movable, 2)`` rows and columns of centres, -1 to 1.
            visible: ``(batch, frames, movable)`` 1 where there is something to locate, else 0.

        Returns:
            Smooth L1 distance, averaged over what is visible.
        """
        per_frame = context.unflatten(1, (places.shape[1], -1)).flatten(2)
        predicted = self.places(per_frame).float().unflatten(-1, (-1, 2))
        distance = functional.smooth_l1_loss(predicted, places, reduction="none", beta=0.05)
        return (distance.sum(dim=-1) * visible).sum() / visible.sum().clamp(min=1.0)

    def rest_loss(self, context: Tensor, rests: Tensor) -> Tensor:
        """Smooth L1 distance of ``(batch, 14)`` normalised rests; ``context`` as in :meth:`place_loss`."""
        first_frame = context[:, : self.latents_per_frame].flatten(1)
        return functional.smooth_l1_loss(self.rests(first_frame).float(), rests, beta=0.05)


def _logistic_cdf(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
