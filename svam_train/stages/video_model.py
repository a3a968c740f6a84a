"""The part of the network that stage 1 trains, and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svd_backbone import VideoBackbone
from svam_ros.networks.text import TextEncoder
from svam_train.recipes.video import VideoRecipe
from svam_train.stages.cpu_attention import attention_for_training
from svam_train.stages.low_rank import add_low_rank_updates, merged_state_dict
from svam_train.training.objective import TOTAL
from svam_train.training.run_folder import RunError


class VideoModel(nn.Module):
    """Text encoder and whole video backbone, under the names that they have in the network."""

    def __init__(self, config: SvamConfig) -> None:
        super().__init__()
        self.latent_scale = config.image_encoder.latent_scale
        self.text_encoder = TextEncoder(config.text)
        self.video_backbone = VideoBackbone(config, with_video_head=True)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The denoising loss of arXiv 2311.15127, appendix D.

        Args:
            batch: ``latents`` and ``noise`` ``(batch, frames, c, h, w)``, the former not scaled; ``sigma``
                ``(batch,)``; ``token_ids`` and ``attention_mask`` ``(batch, length)``; ``text_kept``
                ``(batch,)``, 0 where the text is dropped.
        """
        with _attention(self.video_backbone):
            errors = self.errors(batch)
        return {TOTAL: errors.mean()}

    def errors(self, batch: Mapping[str, Tensor]) -> Tensor:
        """``(batch,)`` weighted squared errors of the rows of a batch; see :meth:`forward`.

        Weighted by ``(sigma^2 + 1) / sigma^2``, the squared error of the denoised video is that of the
        velocity ``(noise - sigma * video) / sqrt(sigma^2 + 1)``; this form loses no digits at sigma 700.
        """
        noise, sigma = batch["noise"], batch["sigma"][:, None, None, None, None]
        video = batch["latents"] * self.latent_scale
        root = (sigma.square() + 1.0).sqrt()
        text = self.encode_text(batch["token_ids"], batch["attention_mask"], batch["text_kept"])
        backbone = self.video_backbone
        constants = backbone.constants(batch["sigma"])
        noised = (video + sigma * noise) / root
        passed = backbone(noised, batch["latents"][:, 0], backbone.project_text(text), constants)
        velocity = backbone.predict_velocity(passed, text, constants).float()
        return (velocity - (noise - sigma * video) / root).square().mean(dim=(1, 2, 3, 4))

    def encode_text(self, token_ids: Tensor, attention_mask: Tensor, kept: Tensor | None = None) -> Tensor:
        """``(batch, length, 2 * text width)``; zeros where ``kept`` ``(batch,)`` is 0."""
        states: Tensor = self.text_encoder(token_ids, attention_mask).states
        return states if kept is None else states * kept[:, None, None]

    def foresee(self, image_latents: Tensor, text_states: Tensor, noise: Tensor) -> Tensor:
        """The video that the policy's one pass foresees, in units of unit variance.

        Arguments as of :func:`svam_train.stages.video_sampling.sample_videos`.
        """
        backbone = self.video_backbone
        constants = backbone.constants()
        passed = backbone(noise, image_latents, backbone.project_text(text_states), constants)
        return backbone.predict_video(noise, passed, text_states, constants).float()


def build_video_model(config: SvamConfig, recipe: VideoRecipe, start: Mapping[str, Tensor]) -> VideoModel:
    """The model before its first step: the same whenever it is built.

    Args:
        config: of the network.
        recipe: what of it is trained, and from which seed it starts.
        start: weights by name, each of the two parts whole or not at all; others are ignored.

    Raises:
        RunError: a part of ``start`` is not that of this network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        model = VideoModel(config)
        _load(model, start)
        model.text_encoder.requires_grad_(requires_grad=recipe.train_text)
        # Makes the policy's goal, which no video depends on.
        model.text_encoder.clip.text_projection.requires_grad_(requires_grad=False)
        if recipe.low_rank:
            add_low_rank_updates(model.video_backbone, recipe.low_rank)
    model.video_backbone.recompute_activations(recipe.training.gradient_checkpointing)
    return model


def network_tensors(model: VideoModel) -> dict[str, Tensor]:
    """Weights under the network's names, updates of low rank merged."""
    return {name: tensor.detach() for name, tensor in merged_state_dict(model).items()}


def _load(model: VideoModel, start: Mapping[str, Tensor]) -> None:
    for name, part in model.named_children():
        prefix = f"{name}."
        given = {key.removeprefix(prefix): start[key] for key in start if key.startswith(prefix)}
        if not given:
            continue
        try:
            part.load_state_dict(given)
        except RuntimeError as error:
            raise RunError(f"the weights to start from are of another network: {error}") from error


def _attention(backbone: VideoBackbone) -> AbstractContextManager[None]:
    """Activations that are computed a second time are so outside of this block: the same kernel then."""
    if backbone.recompute or not torch.is_grad_enabled():
        return nullcontext()
    return attention_for_training(next(backbone.parameters()).device)
