"""Stage 0 of a network that starts from nothing: its video autoencoder.

Stable Video Diffusion comes with one, so networks of published sizes do not need this stage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.image_encoder import ImageEncoder
from svam_train.episodes.batches import EpisodeRows
from svam_train.recipes.autoencoder import AutoencoderRecipe
from svam_train.stages.drawn_rows import balanced_rows
from svam_train.stages.step_draws import draw_normal, spread_rows, step_generator
from svam_train.stages.video_decoder import VideoDecoder, as_picture
from svam_train.training.objective import TOTAL, ImageArray

_SHOWN_CLIPS = 8
_MEASURED_CLIPS = 256
"""Clips of the training data from which the latents' deviation is measured."""
_CLIPS_AT_ONCE = 16


class Autoencoder(nn.Module):
    """The network's image encoder and a decoder that training needs.

    Args:
        config: of the network.
        recipe: the losses' weights.
    """

    def __init__(self, config: SvamConfig, recipe: AutoencoderRecipe) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.video_decoder = VideoDecoder(config.image_encoder)
        self.recipe = recipe

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of ``clips`` ``(batch, frames, 3, s, s)`` and ``noise`` in the shape of their latents.

        Errors are of pictures decoded from latents drawn with the noise: the absolute one, which keeps edges,
        the squared one, and, with ``segments`` ``(batch, frames, grid, grid, classes)``, that of each class
        of things by itself, which does not let small ones vanish.
        """
        clips, noise = batch["clips"], batch["noise"]
        mean, log_variance = self.image_encoder.moments(clips.flatten(0, 1))
        mean, log_variance = mean.float(), log_variance.float().clamp(-30.0, 20.0)
        latents = mean + (0.5 * log_variance).exp() * noise.flatten(0, 1)
        decoded = self.video_decoder(latents.unflatten(0, clips.shape[:2])).float()
        absolute = functional.l1_loss(decoded, clips)
        square = functional.mse_loss(decoded, clips)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        total = absolute + square + self.recipe.divergence_weight * divergence
        losses = {"absolute": absolute, "square": square, "divergence": divergence}
        if "segments" in batch:
            losses["classes"] = error_of_classes(decoded, clips, batch["segments"])
            total = total + self.recipe.classes_weight * losses["classes"]
        return {TOTAL: total, **losses}

    def reconstruct(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, frames, 3, s, s)`` -> latents as the policy sees them, and what is decoded from them."""
        latents = self.image_encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]).float()
        return latents, self.video_decoder(latents).float()


def error_of_classes(decoded: Tensor, clips: Tensor, segments: Tensor) -> Tensor:
    """Mean absolute error within each class of things that a clip shows, averaged over these and the clips.

    Args:
        decoded: ``(batch, frames, 3, s, s)``.
        clips: what it should be, of the same shape.
        segments: ``(batch, frames, grid, grid, classes)`` shares of the classes in each patch.
    """
    errors = (decoded - clips).abs().mean(dim=2)
    patches = functional.adaptive_avg_pool2d(errors, segments.shape[2])
    areas = segments.flatten(1, -2).sum(dim=1)  # (batch, classes)
    summed = (patches[..., None] * segments).flatten(1, -2).sum(dim=1)
    within = summed / areas.clamp(min=1e-6)
    return (within.sum(dim=1) / (areas > 0.0).sum(dim=1)).mean()


class AutoencoderObjective:
    """What the training loop needs to train the autoencoder.

    What is handed on has latents that, times the config's ``latent_scale``, have unit variance over the
    training data: the measured deviation is folded into the encoder's last and the decoder's first layer,
    so nobody has to know it.

    Args:
        recipe: the numbers.
        config: of the network.
        training: rows that are trained on.
        held_out: rows that are looked at only.
    """

    def __init__(
        self, recipe: AutoencoderRecipe, config: SvamConfig, training: EpisodeRows, held_out: EpisodeRows
    ) -> None:
        self.recipe = recipe
        self._config = config
        self._training = training
        self._held_out = held_out
        frames, *self._latent_shape = config.latent_noise_shape
        self._offsets = tuple(range(0, frames * recipe.frame_spacing, recipe.frame_spacing))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            self.module = Autoencoder(config, recipe)

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """See :class:`svam_train.training.objective.Objective`."""
        random = step_generator(self.recipe.training.seed, step)
        rows = balanced_rows(random, self._training, size, step)
        clips = self._training.clips(rows, self._offsets)["clips"]
        noise = draw_normal(random, size, len(self._offsets), *self._latent_shape)
        return {"clips": clips, "noise": noise, **self._segments(self._training, rows)}

    def held_out(self, module: nn.Module) -> dict[str, float]:
        """Errors of decoded pictures (in [-1, 1]), their signal-to-noise ratio, deviation of the latents."""
        assert isinstance(module, Autoencoder)
        absolute = square = classes = latent_square = latent_sum = 0.0
        rows = spread_rows(len(self._held_out), self.recipe.held_out_pictures)
        for part in range(0, len(rows), _CLIPS_AT_ONCE):
            clips = self._clips(self._held_out, rows[part : part + _CLIPS_AT_ONCE], module)
            known = self._segments(self._held_out, rows[part : part + _CLIPS_AT_ONCE])
            latents, decoded = module.reconstruct(clips)
            share = len(clips) / len(rows)
            absolute += share * float((decoded - clips).abs().mean())
            square += share * float((decoded - clips).square().mean())
            if known:
                classes += share * float(error_of_classes(decoded, clips, known["segments"].to(clips.device)))
            latent_square += share * float(latents.square().mean())
            latent_sum += share * float(latents.mean())
        return {
            "absolute": absolute,
            "square": square,
            **({"classes": classes} if known else {}),
            "signal_to_noise_db": 10.0 * math.log10(4.0 / max(square, 1e-12)),
            "latent_deviation": math.sqrt(max(latent_square - latent_sum**2, 0.0)),
        }

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        """First frames of held-out clips above what is decoded of them."""
        assert isinstance(module, Autoencoder)
        rows = spread_rows(len(self._held_out), _SHOWN_CLIPS)
        clips = self._clips(self._held_out, rows, module)
        _, decoded = module.reconstruct(clips)
        return {"decoded": as_picture([clips[:, 0], decoded[:, 0]])}

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """``image_encoder.*`` as in the network, and ``video_decoder.*``."""
        assert isinstance(module, Autoencoder)
        rows = spread_rows(len(self._training), _MEASURED_CLIPS)
        parts = [rows[start : start + _CLIPS_AT_ONCE] for start in range(0, len(rows), _CLIPS_AT_ONCE)]
        latents = torch.cat(
            [module.reconstruct(self._clips(self._training, part, module))[0] for part in parts]
        )
        factor = 1.0 / (float(latents.std()) * self._config.image_encoder.latent_scale)
        return rescaled_latents(module.state_dict(), self._config.image_encoder.latent_channels, factor)

    def _segments(self, data: EpisodeRows, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """``segments`` of the clips, where all episodes come from simulation; else nothing."""
        if not self.recipe.classes_weight or any(one.segments is None for one in data.episodes):
            return {}
        return {"segments": data.segments(rows, self._offsets)}

    def _clips(self, data: EpisodeRows, rows: NDArray[np.int64], module: nn.Module) -> Tensor:
        device = next(module.parameters()).device
        return data.clips(rows, self._offsets)["clips"].to(device)


def rescaled_latents(tensors: Mapping[str, Tensor], channels: int, factor: float) -> dict[str, Tensor]:
    """The autoencoder whose latents are ``factor`` times those of the given one, and decode to the same.

    Args:
        tensors: state of an :class:`Autoencoder`.
        channels: of the latents.
        factor: above zero.
    """
    scaled = {name: tensor.clone() for name, tensor in tensors.items()}
    last = "image_encoder.quant_conv"
    scaled[f"{last}.weight"][:channels] *= factor
    scaled[f"{last}.bias"][:channels] *= factor
    scaled[f"{last}.bias"][channels:] += 2.0 * math.log(factor)
    scaled["video_decoder.decoder.conv_in.weight"] /= factor
    return scaled
