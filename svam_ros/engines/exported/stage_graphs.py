"""The network cut into one graph a stage, with named tensors between them and no Python inside.

A graph of its own for every stage, because then each stage is exported, compiled, checked against the
accuracy table and timed by itself; what a stage hands on stays where the library keeps it. The stages are
those of :data:`svam_ros.profiling.stage_timer.STAGES`, and ``instruction``, which runs once per instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from svam_ros.networks.action_expert import GivenActions
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import Foresight, References, Svam
from svam_ros.networks.unet_blocks import TextAttention

INSTRUCTION = "instruction"
"""The stage that runs once per instruction."""

Named = dict[str, Tensor]


@dataclass(frozen=True)
class StageShape:
    """What goes into a stage and what comes out, by name; every name means one tensor in the whole pass."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class PassShape:
    """All stages of a network, in the order in which they run."""

    instruction: StageShape
    frame: tuple[StageShape, ...]
    """Those that run for every frame."""

    @property
    def stages(self) -> tuple[StageShape, ...]:
        """All of them."""
        return (self.instruction, *self.frame)

    @property
    def beside(self) -> tuple[StageShape, ...]:
        """Stages that take nothing of a frame's others, but the first: they can run while that one does."""
        made = {name for stage in self.frame for name in stage.outputs}
        return tuple(stage for stage in self.frame if not made.intersection(stage.inputs))[1:]


class StageGraph(nn.Module):
    """One stage as a function from tensors to tensors, both in the order of its shape."""

    def __init__(self, network: Svam, shape: StageShape, run: Callable[[Svam, Named], Named]) -> None:
        super().__init__()
        self.network = network
        self.shape = shape
        self._run = run

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The stage's inputs -> its outputs."""
        made = self._run(self.network, dict(zip(self.shape.inputs, tensors, strict=True)))
        return tuple(made[name] for name in self.shape.outputs)


def pass_shape(network: Svam) -> PassShape:
    """The stages of this network, with weights or without, and the tensors between them."""
    expert = network.config.action_expert
    text = tuple(name for block in network.video_backbone.text_blocks for name in _text_names(block))
    references = ("semantic_reference", "geometric_reference")
    foresight = ("semantic_foresight", "geometric_foresight")
    acting = ["context_tokens", "goal_token", "action_noise"]
    acting += ["joints"] if expert.proprioception else []
    acting += ["prefix_actions", "prefix_given"] if expert.longest_prefix else []
    return PassShape(
        StageShape(INSTRUCTION, ("token_ids", "attention_mask"), ("goal_token", *text)),
        (
            StageShape("backbone", ("image", "latent_noise", *text), ("backbone_features",)),
            StageShape("references", ("image",), references),
            StageShape("decouplers", ("backbone_features", *references), foresight),
            StageShape("uni_perceiver", ("backbone_features", *foresight), ("context_tokens",)),
            StageShape("action_expert", tuple(acting), ("actions",)),
        ),
    )


def stage_graphs(network: Svam) -> tuple[StageGraph, ...]:
    """Every stage of a prepared network as a graph, in the order in which they run."""
    return tuple(StageGraph(network, shape, _RUN[shape.name]) for shape in pass_shape(network).stages)


def run_graphs(graphs: tuple[StageGraph, ...], given: Named) -> Named:
    """Run stage after stage in torch; all tensors of the pass by name, those that were given too."""
    values = dict(given)
    with torch.no_grad():
        for graph in graphs:
            made = graph(*(values[name] for name in graph.shape.inputs))
            values |= dict(zip(graph.shape.outputs, made, strict=True))
    return values


def cast_to(values: Named, dtype: torch.dtype, device: torch.device | str = "cpu") -> Named:
    """The tensors on a device; numbers with a point in a precision, ids and marks as they are."""
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype)
        for name, value in values.items()
    }


def free_inputs(config: SvamConfig, tokens: tuple[Tensor, Tensor], *, seed: int = 0) -> Named:
    """What no stage makes, seeded: an image of noise, joints, and a prefix half as long as allowed.

    Args:
        config: the network's.
        tokens: ids and mask of a sentence, each ``(1, length)``.
        seed: of everything else.
    """
    expert, generator = config.action_expert, torch.Generator().manual_seed(seed)
    size = config.image_encoder.image_size

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator)

    values = {
        "token_ids": tokens[0],
        "attention_mask": tokens[1],
        "image": normal(3, size, size).clamp(-1.0, 1.0),
        "latent_noise": normal(*config.latent_noise_shape),
        "action_noise": normal(*config.action_noise_shape),
    }
    if expert.proprioception:
        values["joints"] = normal(expert.action_dim)
    if expert.longest_prefix:
        given = GivenActions.first(normal(*config.action_noise_shape), (expert.longest_prefix + 1) // 2)
        values |= {"prefix_actions": given.actions, "prefix_given": given.given}
    return values


def _text_names(block: str) -> tuple[str, ...]:
    parts = ("spatial_scores", "spatial_values", "temporal_scores", "temporal_values")
    return tuple(f"text.{block}.{part}" for part in parts)


def _run_instruction(network: Svam, given: Named) -> Named:
    condition = network.encode_instruction(given["token_ids"], given["attention_mask"])
    values = {"goal_token": condition.goal_token}
    for block, text in condition.text_attention.items():
        parts = (text.spatial_scores, text.spatial_values, text.temporal_scores, text.temporal_values)
        values |= dict(zip(_text_names(block), parts, strict=True))
    return values


def _run_backbone(network: Svam, given: Named) -> Named:
    text = {
        block: TextAttention(*(given[name] for name in _text_names(block)))
        for block in network.video_backbone.text_blocks
    }
    latents = network.encode_image(given["image"])
    constants = network.constants.backbone
    output = network.video_backbone(given["latent_noise"], latents, text, constants)
    return {"backbone_features": output.features}


def _run_references(network: Svam, given: Named) -> Named:
    seen = network.references(given["image"])
    return {"semantic_reference": seen.semantic, "geometric_reference": seen.geometric}


def _run_decouplers(network: Svam, given: Named) -> Named:
    references = References(given["semantic_reference"], given["geometric_reference"])
    foresight = network.decouple(given["backbone_features"], references)
    return {"semantic_foresight": foresight.semantic, "geometric_foresight": foresight.geometric}


def _run_uni_perceiver(network: Svam, given: Named) -> Named:
    foresight = Foresight(given["semantic_foresight"], given["geometric_foresight"])
    return {"context_tokens": network.perceive(given["backbone_features"], foresight)}


def _run_action_expert(network: Svam, given: Named) -> Named:
    prefix = None
    if "prefix_actions" in given:
        prefix = GivenActions(given["prefix_actions"], given["prefix_given"])
    actions = network.action_expert(
        given["context_tokens"],
        given["goal_token"],
        given.get("joints"),
        given["action_noise"],
        network.constants.schedule,
        prefix,
    )
    return {"actions": actions}


_RUN: dict[str, Callable[[Svam, Named], Named]] = {
    INSTRUCTION: _run_instruction,
    "backbone": _run_backbone,
    "references": _run_references,
    "decouplers": _run_decouplers,
    "uni_perceiver": _run_uni_perceiver,
    "action_expert": _run_action_expert,
}
