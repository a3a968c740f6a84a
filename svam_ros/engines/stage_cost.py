"""How much each stage of a network has to compute and to move: counted on tensors without memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from svam_ros.artifacts.network_loading import empty_network
from svam_ros.engines.device_roof import DeviceRoof
from svam_ros.engines.stages import StageInputs, run_stages
from svam_ros.networks.config import SvamConfig

INSTRUCTION = "instruction"
"""The stage that runs once per instruction, not once per frame."""

VIEWS = frozenset(
    (
        *("view", "_unsafe_view", "_reshape_alias", "expand", "permute", "transpose", "t", "select", "slice"),
        *("split", "split_with_sizes", "squeeze", "unsqueeze", "unbind", "alias", "detach", "as_strided"),
        *("chunk", "lift_fresh"),
    )
)
"""Operations of torch's that look at a tensor in another way: nothing is launched for them."""


@dataclass(frozen=True)
class Operation:
    """One product of matrices, convolution or attention."""

    flop: int
    """A multiplication and an addition are two."""
    numbers: int
    """Elements of everything that it reads and writes, weights too."""


@dataclass(frozen=True)
class StageCost:
    """What a stage cannot do without. What works element by element is not counted: it can be fused away."""

    operations: tuple[Operation, ...]
    launches: int = 0
    """Operations of the eager pass that launch something on a GPU: what a captured graph saves."""

    @property
    def gflop(self) -> float:
        """Of all operations."""
        return sum(operation.flop for operation in self.operations) / 1e9

    def megabytes(self, bytes_per_number: int) -> float:
        """What is read and written where nothing stays in a cache."""
        return sum(operation.numbers for operation in self.operations) * bytes_per_number / 1e6

    def floor_ms(self, roof: DeviceRoof) -> float:
        """About the least time on a device: of each operation the longer of computing and moving.

        Small networks may be faster, whose operands stay in a cache.
        """
        return 1e3 * sum(
            max(
                operation.flop / roof.flop_per_s,
                operation.numbers * roof.bytes_per_number / roof.bytes_per_s,
            )
            for operation in self.operations
        )


def count_stage_costs(config: SvamConfig) -> dict[str, StageCost]:
    """Every stage of one pass, batch size 1; :data:`INSTRUCTION` comes first.

    Causal attention is counted as if it had no mask.
    """
    costs: dict[str, StageCost] = {}

    @contextmanager
    def measure(stage: str) -> Iterator[None]:
        with _Counter() as counter, _WholeAttention(counter):
            yield
        costs[stage] = StageCost(tuple(counter.operations), counter.launches)

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
    return costs


class _WholeAttention(TorchFunctionMode):
    """Notes attention as one operation and one launch.

    Without memory it falls into parts, whose scores nobody writes.
    """

    def __init__(self, counter: _Counter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        noted, launched = len(self._counter.operations), self._counter.launches
        out = func(*args, **(kwargs or {}))
        parts = self._counter.operations[noted:]
        del self._counter.operations[noted:]
        flop = sum(part.flop for part in parts)
        self._counter.operations.append(Operation(flop, sum(t.numel() for t in (*args[:3], out))))
        self._counter.launches = launched + 1
        return out


class _Counter(TorchDispatchMode):
    """Notes every operation that torch knows the arithmetic of."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.launches = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.launches += func.overloadpacket.__name__ not in VIEWS
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            touched = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
            flop = int(count(*args, **kwargs, out_val=out))
            self.operations.append(Operation(flop, sum(tensor.numel() for tensor in touched)))
        return out


def _drop_mask(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The text model looks into the mask for padding, and here no tensor has values."""
    return args, {**kwargs, "attention_mask": None}
