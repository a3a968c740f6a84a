"""Arithmetic is counted, not typed in: two ways of counting agree, and the sum is the published one."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.networks import CONFIG, random_inputs, random_network, token_ids
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from svam_ros.artifacts.network_loading import weight_shapes
from svam_ros.engines.device_roof import DeviceRoof, measure_roof
from svam_ros.engines.stage_cost import (
    INSTRUCTION,
    Operation,
    StageCost,
    _Counter,
    _WholeAttention,
    count_stage_costs,
)
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.presets import PRESETS
from svam_ros.profiling.stage_timer import STAGES


def count_gflop(config: SvamConfig) -> dict[str, float]:
    return {stage: cost.gflop for stage, cost in count_stage_costs(config).items()}


class CountedByHand(TorchFunctionMode):
    """Multiplications and additions of every call of torch's that does many, on real tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.flop: dict[str, float] = {}

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.__name__
        if name == "linear":
            self._add(name, result.numel() * args[1].shape[1])
        elif name == "conv2d":
            self._add(name, result.numel() * math.prod(args[1].shape[1:]))
        elif name == "scaled_dot_product_attention":
            query, key = args[:2]
            self._add(name, 2 * query.numel() * key.shape[-2])
        elif name in ("matmul", "__matmul__"):
            self._add("matmul", result.numel() * args[0].shape[-1])
        elif name in ("conv3d", "bmm", "baddbmm", "addmm", "einsum"):
            raise AssertionError(f"{name} is not counted here")
        return result

    def _add(self, name: str, multiplications: int) -> None:
        self.flop[name] = self.flop.get(name, 0.0) + 2 * multiplications


def test_counting_without_memory_agrees_with_counting_every_call():
    network = random_network().prepare_for_inference()
    inputs = random_inputs(network).rows([0])
    with torch.no_grad(), CountedByHand() as by_hand:
        network.encode_instruction(*(part[:1] for part in token_ids()))
        network(*inputs.as_tuple())
    assert by_hand.flop.keys() == {"linear", "conv2d", "scaled_dot_product_attention", "matmul"}
    everything = sum(by_hand.flop.values())
    assert min(by_hand.flop.values()) > 1e-4 * everything  # a kind that was forgotten would be seen
    assert sum(count_gflop(CONFIG).values()) * 1e9 == pytest.approx(everything, rel=1e-6)


class RepeatedWeights(TorchDispatchMode):
    """Batched products whose second factor is one matrix, repeated over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0
        self.repeated: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        self.products += name == "addmm"
        if name == "bmm" and args[1].shape[0] > 1 and args[1].stride(0) == 0:
            self.repeated.append(tuple(args[1].shape))
        return function(*args, **(kwargs or {}))


def test_no_stage_multiplies_by_copies_of_its_weights():
    """A linear layer on a transposed view would: one copy for each of its rows, gigabytes at full size."""
    network = random_network().prepare_for_inference()
    inputs = random_inputs(network).rows([0])
    with torch.no_grad(), RepeatedWeights() as seen:
        network(*inputs.as_tuple())
    assert seen.products > 50
    assert seen.repeated == []


def test_attention_is_one_launch_and_a_view_is_none():
    counter = _Counter()
    with torch.device("meta"):
        x = torch.zeros(1, 2, 5, 8)
    with counter, _WholeAttention(counter):
        functional.scaled_dot_product_attention(x, x, x)
        x.transpose(1, 2).reshape(1, 5, 16)
        x.view(2, 5, 8)
        x + x
    assert counter.launches == 3, "attention, the copy that reshape needs, and the sum"


def test_every_stage_of_the_network_is_counted():
    network_stages = [s for s in STAGES if s not in ("preprocess", "publish", "total")]
    assert list(count_gflop(CONFIG)) == [INSTRUCTION, *network_stages]


def test_the_published_sizes_take_what_the_specification_counted():
    """The specification counts 4944 GFLOP, in another way, with 10 actions, and 89 less where the text is
    multiplied into the projections of its attentions.
    """
    gflop = count_gflop(PRESETS["calvin"])
    assert sum(gflop.values()) == pytest.approx(4944 - 89, rel=2e-3)
    assert gflop["references"] == pytest.approx(47.1 + 81.2, rel=1e-3)
    assert gflop["decouplers"] == pytest.approx(886.9 + 924.5 - 15.1 - 40.3 - 23.6, rel=1e-3)


def test_the_floor_is_the_longer_of_computing_and_moving_for_every_operation():
    cost = StageCost((Operation(flop=2_000, numbers=10), Operation(flop=100, numbers=500)))
    roof = DeviceRoof(flop_per_s=1e6, bytes_per_s=1e6, bytes_per_number=2)
    assert cost.floor_ms(roof) == pytest.approx(2.0 + 1.0)
    assert cost.gflop == pytest.approx(2.1e-6)
    assert cost.megabytes(2) == pytest.approx(1.02e-3)


def test_a_product_reads_both_factors_and_writes_the_result():
    """Weights of the published sizes are read once at least: 4 GB in float16, and activations too."""
    costs = count_stage_costs(PRESETS["calvin"])
    weights = sum(math.prod(shape) for shape in weight_shapes(PRESETS["calvin"]).values())
    moved = sum(cost.megabytes(2) for cost in costs.values()) * 1e6
    assert 2 * weights < moved < 20 * weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_roof_is_what_was_reached_here(dtype, monkeypatch):
    monkeypatch.setattr("svam_ros.engines.device_roof.REPEATS", 1)
    roof = measure_roof(torch.device("cpu"), dtype, threads=1)
    assert roof.bytes_per_number == dtype.itemsize
    assert 1e7 < roof.flop_per_s < 1e15
    assert 1e7 < roof.bytes_per_s < 1e13
