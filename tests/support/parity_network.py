"""Our networks with published weights, and what they give for every entry of a golden set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor

from benchmarks.golden_sets.golden_config import (
    REFERENCE_IMAGE_SIZE,
    for_reference_image,
    published_sizes,
)
from benchmarks.golden_sets.golden_set import GoldenSet
from benchmarks.golden_sets.golden_settings import number
from benchmarks.golden_sets.golden_values import noise_level_of, text_mask, token_ids
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.artifacts.published.conversion import convert_group
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import InstructionCondition, References, Svam


def imported_network(golden_set: GoldenSet, config: SvamConfig, groups: Iterable[str]) -> Svam:
    """Published weights of these groups, through the importer; the rest of the network has none.

    One group is made at a time, and its tensors become the network's, so that a set of published size
    needs little more memory than its network.
    """
    network = empty_network(config)
    for group in groups:
        converted = convert_group(group, golden_set.weights(group), config)
        outcome = network.load_state_dict(converted, strict=False, assign=True)
        assert not outcome.unexpected_keys
    return network


@torch.no_grad()
def our_values(golden_set: GoldenSet) -> dict[str, Tensor]:
    """Every value of either kind of set, fp32, in the published order of elements."""
    config = published_sizes(golden_set).network
    if golden_set.is_end_to_end:
        network = imported_network(golden_set, config, golden_set.shapes)
        return _end_to_end(golden_set, network.prepare_for_inference())
    own = (group for group in golden_set.shapes if group != "da3_backbone")
    network = imported_network(golden_set, config, own)
    values = _modules(golden_set, network.prepare_for_inference())
    del network
    if "da3_backbone" not in golden_set.shapes:
        return values
    at_224 = for_reference_image(config)
    size = REFERENCE_IMAGE_SIZE
    image = golden_set.input("reference_image", 1, 1, 3, size, size).clamp(-2, 2)[:, 0] / 2
    geometric_reference = imported_network(golden_set, at_224, ["da3_backbone"]).geometric_reference
    values["da3_stage0_tokens"] = geometric_reference(image)[:, None]
    return values


def _modules(golden_set: GoldenSet, network: Svam) -> dict[str, Tensor]:
    config, batch = network.config, number(golden_set, "batch")
    _, channels, size, _ = config.latent_noise_shape
    text = golden_set.input("text_states", batch, 20, config.text.width)
    goal = golden_set.input("goal", batch, 1, config.text.goal_width)
    condition = _condition(network, torch.cat([text, text], dim=-1), goal)
    features = network.backbone(
        golden_set.input("image_latents", batch, 1, channels, size, size)[:, 0],
        condition,
        golden_set.input("noise_latents", batch, *config.latent_noise_shape),
    )
    tokens, references = config.tokens_per_frame, config.references
    semantic = golden_set.input(
        "semantic_reference", batch, references.semantic.width, 1, config.grid, config.grid
    )
    geometric = golden_set.input("geometric_reference", batch, 1, tokens, references.geometric_width)
    shown = References(semantic.flatten(2).transpose(1, 2), geometric[:, 0])
    values = _from_features(network, features, shown)
    return values | _action_values(golden_set, network, values["context_tokens"], condition)


def _end_to_end(golden_set: GoldenSet, network: Svam) -> dict[str, Tensor]:
    config = network.config
    size = config.image_encoder.image_size
    texts, condition = _texts(golden_set, network)
    image = golden_set.input("image", 1, 1, 3, size, size).clamp(-2, 2)[:, 0] / 2
    noise = golden_set.input("noise_latents", 1, *config.latent_noise_shape)
    action_noise = golden_set.input("action_noise", 1, *config.action_noise_shape)
    references = network.references(image)
    latents = network.encode_image(image)
    values = texts | {
        "image_latents": latents,
        "semantic_reference": references.semantic,
        "geometric_reference": references.geometric,
        "actions": network(image, condition, None, noise, action_noise),
    }
    return values | _from_features(network, network.backbone(latents, condition, noise), references)


def _texts(golden_set: GoldenSet, network: Svam) -> tuple[dict[str, Tensor], InstructionCondition]:
    """States with and without positions and the goal; and what the rest of the network gets.

    A sentence longer than the padded ids was cut for the UNet alone: its goal is that of the whole.
    """
    padded, unpadded = token_ids(golden_set.manifest)
    mask, encoder, config = text_mask(padded, unpadded), network.text_encoder, network.config.text
    condition, goal = network.encode_instruction(padded, mask), encoder(padded, mask).goal
    if unpadded.shape[1] > padded.shape[1]:
        goal = encoder(unpadded, torch.ones_like(unpadded)).goal
        condition = dataclasses.replace(condition, goal_token=network.action_expert.embed_goal(goal))
    values = {"goal": goal}
    for name, add_positions in (("text_states", False), ("text_states_with_positions", True)):
        encoder.config = dataclasses.replace(config, add_positions=add_positions)
        values[name] = encoder(padded, mask).states
    encoder.config = config
    return values, condition


def _from_features(network: Svam, features: Tensor, references: References) -> dict[str, Tensor]:
    foresight = network.decouple(features, references)
    tokens = network.foresight_tokens(foresight)
    grid = network.config.grid
    return {
        "backbone_features": features.unflatten(2, (grid, grid)).permute(0, 1, 4, 2, 3),
        "semantic_foresight": tokens.semantic,
        "geometric_foresight": tokens.geometric,
        "context_tokens": network.perceive(features, foresight),
    }


def _action_values(
    golden_set: GoldenSet, network: Svam, context: Tensor, condition: InstructionCondition
) -> dict[str, Tensor]:
    config, expert, batch = network.config, network.action_expert, len(context)
    noise = golden_set.input("action_noise", batch, *config.action_noise_shape)
    actions = golden_set.input("target_actions", batch, *config.action_noise_shape)
    encoded = expert.encode(context, condition.goal_token, None)
    keys_values = expert.keys_values(encoded)
    training = expert.schedule(sigma_min=0.001)
    values = {
        "encoded_context": encoded,
        "actions_evaluation_schedule": network.act(context, condition, None, noise),
        "actions_training_schedule": expert(context, condition.goal_token, None, noise, training),
    }
    for name in golden_set.names:
        level = noise_level_of(name)
        if level is None:
            continue
        sigma = torch.full((batch,), level)
        if name.startswith("loss"):
            values[name] = expert.denoising_error(actions, noise, sigma, keys_values).square().mean()
        else:
            values[name] = expert.denoise(level * noise, sigma, keys_values)
    return values


def _condition(network: Svam, text_states: Tensor, goal: Tensor) -> InstructionCondition:
    """As ``Svam.encode_instruction`` makes it, from given states instead of a sentence."""
    return InstructionCondition(
        text_states,
        network.action_expert.embed_goal(goal),
        network.video_backbone.project_text(text_states),
    )
