"""What a pass may cost at full size, counted without memory: arithmetic, calls, and looks at the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from support.networks import random_inputs, random_network
from torch.utils._python_dispatch import TorchDispatchMode

from svam_ros.artifacts.network_loading import empty_network
from svam_ros.engines.stage_cost import INSTRUCTION, count_stage_costs
from svam_ros.engines.stages import StageInputs, run_stages
from svam_ros.networks.presets import PRESETS

GFLOP_A_FRAME = {"calvin": 4_950.0, "cobot": 4_950.0, "tiny": 15.0}

CALLS_AT_FULL_SIZE = {
    "backbone": 1290,
    "references": 510,
    "decouplers": 315,
    "uni_perceiver": 220,
    "action_expert": 1940,
}
"""Operations that launch something; views do not. Measured, and 3 % above. Attention, which is one launch on
a GPU, counts as its parts: without memory there is no fused one."""

VIEWS = frozenset(
    [
        "view",
        "_unsafe_view",
        "_reshape_alias",
        "expand",
        "permute",
        "transpose",
        "t",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "unsqueeze",
        "unbind",
        "alias",
        "detach",
        "as_strided",
        "chunk",
        "lift_fresh",
    ]
)

WAITS = frozenset(["_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique"])
"""Operations for which the host waits until the device has reached them."""


class Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def launches(self) -> int:
        return sum(count for name, count in self.names.items() if name not in VIEWS)


def calls_per_stage(preset: str) -> dict[str, Calls]:
    config = PRESETS[preset]
    counted: dict[str, Calls] = {}

    @contextmanager
    def measure(stage: str) -> Iterator[None]:
        with Calls() as calls:
            yield
        counted[stage] = calls

    network = empty_network(config).to("meta").prepare_for_inference()
    with torch.no_grad(), torch.device("meta"):
        tokens = torch.zeros(1, config.text.length, dtype=torch.int64)
        size, expert = config.image_encoder.image_size, config.action_expert
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                network.text_encoder.clip, "forward", _without_mask(network.text_encoder.clip.forward)
            )
            condition = network.encode_instruction(tokens, tokens)
        inputs = StageInputs(
            torch.zeros(1, 3, size, size),
            condition,
            torch.zeros(1, expert.action_dim) if expert.proprioception else None,
            torch.zeros(1, *config.latent_noise_shape),
            torch.zeros(1, *config.action_noise_shape),
        )
        run_stages(network, inputs, measure)
    return counted


def _without_mask(forward: Any) -> Any:
    return lambda *args, **kwargs: forward(*args, **{**kwargs, "attention_mask": None})


@pytest.mark.parametrize("preset", list(GFLOP_A_FRAME))
def test_a_frame_stays_inside_its_arithmetic(preset):
    costs = count_stage_costs(PRESETS[preset])
    total = sum(cost.gflop for stage, cost in costs.items() if stage != INSTRUCTION)
    assert 0.01 * GFLOP_A_FRAME[preset] < total <= GFLOP_A_FRAME[preset]


def test_a_frame_at_full_size_launches_no_more_than_it_did():
    """Without memory nothing can be looked at, so that it ran says too that no stage waits for a number."""
    launched = {stage: calls.launches for stage, calls in calls_per_stage("cobot").items()}
    assert launched.keys() == CALLS_AT_FULL_SIZE.keys()
    assert {s: n for s, n in launched.items() if n > CALLS_AT_FULL_SIZE[s]} == {}
    assert all(launched[stage] > 0.9 * budget for stage, budget in CALLS_AT_FULL_SIZE.items())


def test_no_stage_waits_for_a_number():
    """On real memory: what is checked about values is checked outside of what a GPU runs."""
    network = random_network().prepare_for_inference()
    inputs = random_inputs(network).rows([0])
    staged = StageInputs(
        inputs.image, inputs.condition, inputs.joints, inputs.latent_noise, inputs.action_noise
    )
    waits: dict[str, set[str]] = {}

    @contextmanager
    def measure(stage: str) -> Iterator[None]:
        with Calls() as calls:
            yield
        waits[stage] = calls.names.keys() & WAITS

    with torch.no_grad():
        run_stages(network, staged, measure)
    del waits["action_expert"]  # checks joints where they are at hand, which they are on a CPU
    assert waits == {stage: set() for stage in waits}
    with Calls() as calls:
        torch.ones(1).item()
    assert calls.names.keys() & WAITS, "a wait would have been seen"
