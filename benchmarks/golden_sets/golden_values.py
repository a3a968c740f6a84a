"""What the published form gives for every entry of a golden set.

Groups are filled, run and freed one after the other, so that a set of published size needs no more memory
than its largest group, in fp32 also where the arithmetic is fp64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.golden_sets.golden_config import REFERENCE_IMAGE_SIZE, published_sizes
from benchmarks.golden_sets.golden_set import GoldenSet
from benchmarks.golden_sets.golden_settings import number
from benchmarks.golden_sets.wide_arithmetic import widen_while_running
from svam_ros.networks.published_form import evaluation
from svam_ros.networks.published_form.denoiser import Denoiser, noise_levels, sample
from svam_ros.networks.published_form.groups import empty_group
from svam_ros.networks.published_form.resizing import show_to_references
from svam_ros.networks.published_form.text import policy_goal, unet_text_states

SIGMA_MAX = 80.0
SAMPLER_STEPS = 10
EVALUATION_SIGMA_MIN = 1.0
TRAINING_SIGMA_MIN = 0.001


@torch.no_grad()
def published_values(golden_set: GoldenSet, names: list[str], dtype: torch.dtype) -> dict[str, Tensor]:
    """Every value of either kind of set, in ``dtype``.

    Args:
        golden_set: sizes, weights and inputs; its goldens are not read.
        names: of the goldens, which say at which noise levels the denoiser is asked.
        dtype: of the arithmetic; ``float32``, or ``float64`` for references.
    """
    plain = _Plain(golden_set, dtype)
    return plain.end_to_end() if golden_set.is_end_to_end else plain.modules(names)


def noise_level_of(name: str) -> float | None:
    """0.37 for ``loss_sigma_0.37``; ``None`` for a golden that has no noise level in its name."""
    _, mark, level = name.partition("_sigma_")
    return float(level) if mark else None


def load_group(golden_set: GoldenSet, name: str, dtype: torch.dtype = torch.float32) -> Any:
    """One group's module with the weights of the set; the names must be the published ones, all of them.

    It computes in ``dtype`` and keeps its weights in fp32.
    """
    module: nn.Module = empty_group(name, published_sizes(golden_set))
    module.load_state_dict(golden_set.weights(name), strict=True, assign=True)
    if dtype != torch.float32:
        widen_while_running(module, dtype)
    return module


class _Plain:
    """Runs the groups one after the other, on the set's inputs."""

    def __init__(self, golden_set: GoldenSet, dtype: torch.dtype) -> None:
        self.set, self.dtype = golden_set, dtype
        self.sizes = published_sizes(golden_set)

    def group(self, name: str) -> Any:
        return load_group(self.set, name, self.dtype)

    def input(self, name: str, *shape: int) -> Tensor:
        return self.set.input(name, *shape).to(self.dtype)

    def modules(self, names: list[str]) -> dict[str, Tensor]:
        network = self.sizes.network
        batch, grid = number(self.set, "batch"), network.grid
        _, _, latent, _ = network.latent_noise_shape
        channels = network.image_encoder.latent_channels
        text = self.input("text_states", batch, 20, network.text.width)
        values = {
            "backbone_features": evaluation.backbone_features(
                self.group("unet"),
                self.input("noise_latents", batch, *network.latent_noise_shape),
                self.input("image_latents", batch, 1, channels, latent, latent)[:, 0],
                torch.cat([text, text], dim=-1),
            )
        }
        semantic_width, geometric_width = (
            network.references.semantic.width,
            network.references.geometric_width,
        )
        semantic = self.input("semantic_reference", batch, semantic_width, 1, grid, grid)
        geometric = self.input("geometric_reference", batch, 1, grid * grid, geometric_width)
        values |= self.from_features(
            values["backbone_features"], semantic, evaluation.as_map(geometric[:, 0])
        )
        values |= self.action_values(values["context_tokens"], names)
        size = REFERENCE_IMAGE_SIZE
        image = self.input("reference_image", 1, 1, 3, size, size).clamp(-2, 2)[:, 0] / 2
        if "da3_backbone" in self.set.shapes:
            values["da3_stage0_tokens"] = self.group("da3_backbone")(image)[:, None]
        return values

    def end_to_end(self) -> dict[str, Tensor]:
        network = self.sizes.network
        size = network.image_encoder.image_size
        values = self.text_values()
        image = self.input("image", 1, 1, 3, size, size).clamp(-2, 2)[:, 0] / 2
        values["image_latents"] = evaluation.encode_image(self.group("vae"), image)
        shown = show_to_references(image, network.references.image_size, network.references.normalization)
        semantic = evaluation.semantic_reference(self.group("dinov2"), shown)
        geometric = evaluation.geometric_reference(self.group("da3_backbone"), shown)
        values["semantic_reference"] = semantic.permute(0, 2, 3, 4, 1)
        values["geometric_reference"] = geometric.flatten(3)[:, :, 0].transpose(1, 2)[:, None]
        values["backbone_features"] = evaluation.backbone_features(
            self.group("unet"),
            self.input("noise_latents", 1, *network.latent_noise_shape),
            values["image_latents"],
            values["text_states_with_positions" if network.text.add_positions else "text_states"],
        )
        values |= self.from_features(values["backbone_features"], semantic, geometric)
        expert = network.action_expert
        values["actions"] = sample(
            self.group("model"),
            values["context_tokens"],
            values["goal"],
            self.input("action_noise", 1, *network.action_noise_shape),
            noise_levels(expert.sampler_steps, expert.sigma_min, expert.sigma_max),
        )
        return values

    def text_values(self) -> dict[str, Tensor]:
        padded, unpadded = token_ids(self.set.manifest)
        mask = text_mask(padded, unpadded)
        clip = self.group("text_encoder")
        return {
            "text_states": unet_text_states(clip, padded, mask, add_positions=False),
            "text_states_with_positions": unet_text_states(clip, padded, mask, add_positions=True),
            "goal": policy_goal(clip, unpadded),
        }

    def from_features(self, features: Tensor, semantic: Tensor, geometric: Tensor) -> dict[str, Tensor]:
        """Both foresights and the context; references are maps ``(batch, width, 1, h, w)``."""
        values = {
            "semantic_foresight": evaluation.foresight(self.group("hidden2dino"), features, semantic),
            "geometric_foresight": evaluation.foresight(self.group("hidden2dpa"), features, geometric),
        }
        values["context_tokens"] = evaluation.context_tokens(
            self.group("Video_Former"), features, values["semantic_foresight"], values["geometric_foresight"]
        )
        return values

    def action_values(self, context: Tensor, names: list[str]) -> dict[str, Tensor]:
        network, batch = self.sizes.network, len(context)
        denoiser = cast(Denoiser, self.group("model"))
        goal = self.input("goal", batch, 1, network.text.goal_width)
        noise = self.input("action_noise", batch, *network.action_noise_shape)
        actions = self.input("target_actions", batch, *network.action_noise_shape)
        values = {"encoded_context": denoiser.inner_model.encode(context, goal)}
        schedules = {"evaluation": EVALUATION_SIGMA_MIN, "training": TRAINING_SIGMA_MIN}
        for name, sigma_min in schedules.items():
            levels = noise_levels(SAMPLER_STEPS, sigma_min, SIGMA_MAX)
            values[f"actions_{name}_schedule"] = sample(denoiser, context, goal, noise, levels)
        for name in names:
            level = noise_level_of(name)
            if level is None:
                continue
            sigma = torch.full((batch,), level, dtype=self.dtype)
            if name.startswith("loss"):
                values[name] = denoiser.loss(context, goal, actions, noise, sigma)[None]
            else:
                values[name] = denoiser(context, goal, level * noise, sigma)
        return values


def token_ids(manifest: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Padded ids for the UNet and unpadded ones for the policy, each ``(batch, n)`` int64."""
    ids = manifest["token_ids"]
    return torch.tensor(ids["text_token_ids"]), torch.tensor(ids["goal_token_ids"])


def text_mask(padded: Tensor, unpadded: Tensor) -> Tensor:
    """``(batch, n)`` int64: 1 for the tokens of the sentence, 0 for the padding behind them.

    All are 1 for a sentence that had to be cut: the policy then reads more of it than the UNet.
    """
    return (torch.arange(padded.shape[1]) < unpadded.shape[1]).long().expand_as(padded)
