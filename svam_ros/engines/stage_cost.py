"""How much arithmetic each stage of a network takes: counted by running it on tensors without memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from svam_ros.artifacts.network_loading import empty_network
from svam_ros.engines.stages import StageInputs, run_stages
from svam_ros.networks.config import SvamConfig

INSTRUCTION = "instruction"
"""The stage that runs once per instruction, not once per frame."""


def count_stage_gflop(config: SvamConfig) -> dict[str, float]:
    """GFLOP (a multiplication and an addition are two) of every stage of one pass, batch size 1.

    Matrix products, convolutions and attention are counted, causal attention as if it had no mask;
    what works element by element is not. :data:`INSTRUCTION` comes first.
    """
    counts: dict[str, float] = {}

    @contextmanager
    def measure(stage: str) -> Iterator[None]:
        with FlopCounterMode(display=False) as counter:
            yield
        counts[stage] = counter.get_total_flops() / 1e9

    with torch.no_grad():
        network = empty_network(config).to("meta").prepare_for_inference()
        network.text_encoder.clip.register_forward_pre_hook(_drop_mask, with_kwargs=True)
        tokens = torch.zeros(1, config.text.length, dtype=torch.int64, device="meta")
        with measure(INSTRUCTION):
            condition = network.encode_instruction(tokens, tokens)
        size, expert = config.image_encoder.image_size, config.action_expert
        with torch.device("meta"):
            inputs = StageInputs(
                image=torch.zeros(1, 3, size, size),
                condition=condition,
                joints=torch.zeros(1, expert.action_dim) if expert.proprioception else None,
                latent_noise=torch.zeros(1, *config.latent_noise_shape),
                action_noise=torch.zeros(1, *config.action_noise_shape),
            )
        run_stages(network, inputs, measure)
    return counts


def _drop_mask(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The text model looks into the mask for padding, and here no tensor has values."""
    return args, {**kwargs, "attention_mask": None}
