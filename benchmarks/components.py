"""The parts of one prediction, each in the published form and in ours, with the same weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.published_form import evaluation
from svam_ros.networks.published_form.denoiser import noise_levels, sample
from svam_ros.networks.published_form.resizing import resize_image
from svam_ros.networks.published_form.text import policy_goal, unet_text_states
from svam_ros.networks.svam import Foresight, InstructionCondition, References, Svam

Inputs = dict[str, Tensor]
Plain = Mapping[str, Any]
"""Modules of the published form by group."""


@dataclass(frozen=True)
class Component:
    """One part of a prediction."""

    title: str
    groups: tuple[str, ...]
    """Published groups whose weights it needs."""
    make_inputs: Callable[[SvamConfig, Plain, torch.Generator], Inputs]
    """Fp32 inputs for both."""
    run_plain: Callable[[SvamConfig, Plain, Inputs], list[Tensor]]
    run_ours: Callable[[Svam, Inputs], Any] | None
    """What a prediction needs of it; ``None`` where that is nothing."""
    run_once: Callable[[Svam, Inputs], Any] | None
    """What an instruction needs of it; its result is input ``once`` of :attr:`run_ours`."""
    as_plain: Callable[[Svam, Any], list[Tensor]]
    """Our result (of a prediction, else of an instruction) in the published order of elements."""


def run_component(component: Component, network: Svam, inputs: Inputs, once: Any) -> Any:
    """Our form for one prediction."""
    assert component.run_ours is not None
    return component.run_ours(network, {**inputs, "once": once})


def _condition(
    network: Svam, *, text: Tensor | None = None, goal: Tensor | None = None
) -> InstructionCondition:
    """What an instruction is to one stage: the half that another stage reads is empty, and costs nothing."""
    given = text if text is not None else goal
    assert given is not None
    nothing = given.new_empty(len(given), 0, 0)
    return InstructionCondition(
        nothing if text is None else text,
        nothing if goal is None else network.action_expert.embed_goal(goal),
        () if text is None else network.video_backbone.project_text(text),
    )


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


# -- text ------------------------------------------------------------------------------------------


def _text_inputs(config: SvamConfig, _plain: Plain, generator: torch.Generator) -> Inputs:
    """A sentence of six words."""
    text, words = config.text, 6
    ids = torch.full((1, text.length), text.pad_id)
    ids[0, 0], ids[0, words + 1] = text.bos_id, text.eos_id
    ids[0, 1 : words + 1] = torch.randint(min(text.bos_id, text.eos_id), (words,), generator=generator)
    mask = (torch.arange(text.length) < words + 2).long()[None]
    return {"ids": ids, "mask": mask, "unpadded": ids[:, : words + 2]}


def _text_plain(config: SvamConfig, plain: Plain, inputs: Inputs) -> list[Tensor]:
    clip, add_positions = plain["text_encoder"], config.text.add_positions
    states = unet_text_states(clip, inputs["ids"], inputs["mask"], add_positions=add_positions)
    return [states, policy_goal(clip, inputs["unpadded"])]


def _text_once(network: Svam, inputs: Inputs) -> list[Tensor]:
    text = network.text_encoder(inputs["ids"], inputs["mask"])
    return [text.states, text.goal]


# -- video backbone --------------------------------------------------------------------------------


def _backbone_inputs(config: SvamConfig, _plain: Plain, generator: torch.Generator) -> Inputs:
    size = config.image_encoder.image_size
    return {
        "image": _normal(generator, 1, 3, size, size).clamp(-2, 2) / 2,
        "noise": _normal(generator, 1, *config.latent_noise_shape),
        "text": _normal(generator, 1, config.text.length, 2 * config.text.width),
    }


def _backbone_plain(_config: SvamConfig, plain: Plain, inputs: Inputs) -> list[Tensor]:
    latents = evaluation.encode_image(plain["vae"], inputs["image"])
    return [evaluation.backbone_features(plain["unet"], inputs["noise"], latents, inputs["text"])]


def _backbone_once(network: Svam, inputs: Inputs) -> InstructionCondition:
    text = inputs["text"]
    return _condition(network, text=text)


def _backbone_ours(network: Svam, inputs: Inputs) -> Tensor:
    condition: Any = inputs["once"]
    return network.backbone(network.encode_image(inputs["image"]), condition, inputs["noise"])


def _backbone_as_plain(network: Svam, features: Tensor) -> list[Tensor]:
    grid = network.config.grid
    return [features.unflatten(2, (grid, grid)).permute(0, 1, 4, 2, 3)]


# -- reference encoders ----------------------------------------------------------------------------


def _reference_inputs(config: SvamConfig, _plain: Plain, generator: torch.Generator) -> Inputs:
    size = config.image_encoder.image_size
    return {"image": _normal(generator, 1, 3, size, size).clamp(-2, 2) / 2}


def _references_plain(config: SvamConfig, plain: Plain, inputs: Inputs) -> list[Tensor]:
    shown = resize_image(inputs["image"], config.references.image_size)
    return [
        evaluation.semantic_reference(plain["dinov2"], shown),
        evaluation.geometric_reference(plain["da3_backbone"], shown),
    ]


def _references_ours(network: Svam, inputs: Inputs) -> References:
    return network.references(inputs["image"])


def _references_as_plain(_network: Svam, shown: References) -> list[Tensor]:
    return [evaluation.as_map(shown.semantic), evaluation.as_map(shown.geometric)]


# -- decouplers ------------------------------------------------------------------------------------


def _decoupler_inputs(config: SvamConfig, _plain: Plain, generator: torch.Generator) -> Inputs:
    tokens, references = config.tokens_per_frame, config.references
    width, frames = config.backbone.feature_width, config.backbone.frames
    return {
        "features": _normal(generator, 1, frames, tokens, width),
        "semantic": _normal(generator, 1, tokens, references.semantic.width),
        "geometric": _normal(generator, 1, tokens, references.geometric_width),
    }


def _decouplers_plain(config: SvamConfig, plain: Plain, inputs: Inputs) -> list[Tensor]:
    features = _as_video(config, inputs["features"])
    return [
        evaluation.foresight(plain["hidden2dino"], features, evaluation.as_map(inputs["semantic"])),
        evaluation.foresight(plain["hidden2dpa"], features, evaluation.as_map(inputs["geometric"])),
    ]


def _decouplers_ours(network: Svam, inputs: Inputs) -> Foresight:
    return network.decouple(inputs["features"], References(inputs["semantic"], inputs["geometric"]))


def _decouplers_as_plain(network: Svam, foresight: Foresight) -> list[Tensor]:
    tokens = network.foresight_tokens(foresight)
    return [tokens.semantic, tokens.geometric]


def _as_video(config: SvamConfig, features: Tensor) -> Tensor:
    """``(batch, frames, tokens, width)`` -> ``(batch, frames, width, h, w)``."""
    return features.unflatten(2, (config.grid, config.grid)).permute(0, 1, 4, 2, 3)


# -- Uni-Perceiver ---------------------------------------------------------------------------------


def _perceiver_inputs(config: SvamConfig, plain: Plain, generator: torch.Generator) -> Inputs:
    """Hidden states of the decouplers, and what their last layers make of them."""
    leading = (1, config.backbone.frames, config.tokens_per_frame)
    semantic = _normal(generator, *leading, config.semantic_decoupler.width)
    geometric = _normal(generator, *leading, config.geometric_decoupler.width)
    device = plain["Video_Former"].latents.device
    return {
        "features": _normal(generator, *leading, config.backbone.feature_width),
        "semantic": semantic,
        "geometric": geometric,
        "semantic_tokens": plain["hidden2dino"].base_model.output_proj(semantic.to(device)),
        "geometric_tokens": plain["hidden2dpa"].base_model.output_proj(geometric.to(device)),
    }


def _perceiver_plain(config: SvamConfig, plain: Plain, inputs: Inputs) -> list[Tensor]:
    features = _as_video(config, inputs["features"])
    semantic, geometric = inputs["semantic_tokens"], inputs["geometric_tokens"]
    return [evaluation.context_tokens(plain["Video_Former"], features, semantic, geometric)]


def _perceiver_ours(network: Svam, inputs: Inputs) -> list[Tensor]:
    foresight = Foresight(inputs["semantic"], inputs["geometric"])
    return [network.perceive(inputs["features"], foresight)]


# -- action expert ---------------------------------------------------------------------------------


def _action_inputs(config: SvamConfig, _plain: Plain, generator: torch.Generator) -> Inputs:
    perceiver = config.uni_perceiver
    latents = config.backbone.frames * perceiver.latents_per_frame
    return {
        "context": _normal(generator, 1, latents, perceiver.width),
        "goal": _normal(generator, 1, 1, config.text.goal_width),
        "noise": _normal(generator, 1, *config.action_noise_shape),
    }


def _action_plain(config: SvamConfig, plain: Plain, inputs: Inputs) -> list[Tensor]:
    expert = config.action_expert
    levels = noise_levels(expert.sampler_steps, expert.sigma_min, expert.sigma_max)
    return [sample(plain["model"], inputs["context"], inputs["goal"], inputs["noise"], levels)]


def _action_once(network: Svam, inputs: Inputs) -> InstructionCondition:
    return _condition(network, goal=inputs["goal"])


def _action_ours(network: Svam, inputs: Inputs) -> list[Tensor]:
    condition: Any = inputs["once"]
    return [network.act(inputs["context"], condition, None, inputs["noise"])]


def _as_it_is(_network: Svam, values: Sequence[Tensor]) -> list[Tensor]:
    return list(values)


COMPONENTS: dict[str, Component] = {
    "text": Component("text", ("text_encoder",), _text_inputs, _text_plain, None, _text_once, _as_it_is),
    "backbone": Component(
        "VAE + UNet",
        ("unet", "vae"),
        _backbone_inputs,
        _backbone_plain,
        _backbone_ours,
        _backbone_once,
        _backbone_as_plain,
    ),
    "references": Component(
        "reference encoders",
        ("dinov2", "da3_backbone"),
        _reference_inputs,
        _references_plain,
        _references_ours,
        None,
        _references_as_plain,
    ),
    "decouplers": Component(
        "decouplers",
        ("hidden2dino", "hidden2dpa", "Video_Former"),  # preparing ours fuses layers of all three
        _decoupler_inputs,
        _decouplers_plain,
        _decouplers_ours,
        None,
        _decouplers_as_plain,
    ),
    "perceiver": Component(
        "Uni-Perceiver",
        ("hidden2dino", "hidden2dpa", "Video_Former"),
        _perceiver_inputs,
        _perceiver_plain,
        _perceiver_ours,
        None,
        _as_it_is,
    ),
    "action": Component(
        "action expert", ("model",), _action_inputs, _action_plain, _action_ours, _action_once, _as_it_is
    ),
}
"""In the order of a prediction."""


def plain_modules(modules: Mapping[str, nn.Module], dtype: torch.dtype, device: torch.device) -> Plain:
    """The published form on its device and in its precision."""
    return {group: module.to(device=device, dtype=dtype) for group, module in modules.items()}
