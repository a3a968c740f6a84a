"""One forward pass, stage by stage, with something measured around each: time, arithmetic, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor

from svam_ros.networks.action_expert import GivenActions
from svam_ros.networks.svam import Foresight, InstructionCondition, Svam

Measure = Callable[[str], AbstractContextManager[object]]
"""Called with a stage's name; what it returns is entered while the stage runs."""


@dataclass(frozen=True)
class StageInputs:
    """Everything that one pass takes, in the network's precision and on its device."""

    image: Tensor
    """``(batch, 3, image_size, image_size)`` in [-1, 1]."""
    condition: InstructionCondition
    joints: Tensor | None
    """``(batch, action_dim)`` normalised; ``None`` without proprioception."""
    latent_noise: Tensor
    """``(batch, *config.latent_noise_shape)`` standard normal."""
    action_noise: Tensor
    """``(batch, *config.action_noise_shape)`` standard normal."""
    prefix: GivenActions | None = None
    """Actions that are committed already."""


@dataclass(frozen=True)
class StageOutputs:
    """What the stages hand on."""

    features: Tensor
    """``(batch, frames, tokens, feature_width)``."""
    foresight: Foresight
    context: Tensor
    """``(batch, frames * latents_per_frame, width)``."""
    actions: Tensor
    """``(batch, pred_horizon, action_dim)`` normalised."""


def run_stages(network: Svam, inputs: StageInputs, measure: Measure) -> StageOutputs:
    """Run the network; stages are named as in :data:`svam_ros.profiling.stage_timer.STAGES`."""
    with measure("backbone"):
        latents = network.encode_image(inputs.image)
        features = network.backbone(latents, inputs.condition, inputs.latent_noise)
    with measure("references"):
        references = network.references(inputs.image)
    with measure("decouplers"):
        foresight = network.decouple(features, references)
    with measure("uni_perceiver"):
        context = network.perceive(features, foresight)
    with measure("action_expert"):
        actions = network.act(context, inputs.condition, inputs.joints, inputs.action_noise, inputs.prefix)
    return StageOutputs(features, foresight, context, actions)
