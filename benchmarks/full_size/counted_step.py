"""A training step on paper: weights, arithmetic and memory, counted on tensors that take no memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers.initialization import no_init_weights

from benchmarks.full_size.random_stages import batch_of_shapes, random_stage
from benchmarks.full_size.seen_shapes import Shapes, seen_shapes, shapes_of
from benchmarks.full_size.step_plan import Recipe, StepPlan
from svam_ros.networks import svam
from svam_ros.networks.config import SvamConfig
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.training.objective import TOTAL
from svam_train.training.resources import needs_of

_FLOAT_BYTES = 4
_KEPT_PER_TRAINED = 4
"""Through a step: the weight, its average and AdamW's two moments. The gradient comes during the step."""
_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class CountedStep:
    """One step; bytes of one process that holds all of it."""

    trained: int
    """Weights that the optimizer changes."""
    weights: int
    """All that are held, frozen ones with them."""
    tflop: float
    """Forward, what is computed again, and backward."""
    loop_estimate_bytes: int
    """What the loop warns by: weights, gradients, averages and moments of what is trained."""
    frozen_bytes: int
    passing_bytes: int
    """Most of what comes and goes within a step: gradients, activations, weights in short formats. Attention
    as torch's fused kernel computes it."""
    batch: Shapes
    inside: Shapes

    @property
    def peak_bytes(self) -> int:
        """All at once; interpreter and libraries are not in it."""
        kept = self.trained * _FLOAT_BYTES * _KEPT_PER_TRAINED
        return kept + self.frozen_bytes + self.passing_bytes


def count_step(plan: StepPlan) -> CountedStep:
    """Count without computing: seconds to minutes at full size, and no memory.

    All the many passes of stage 2's sampler are alike: one and two are counted, and the rest follows.
    """
    recipe, config = plan.recipe, plan.config
    if not isinstance(recipe, DecouplersRecipe):
        return _count(recipe, config)
    one, two = (
        _count(replace(recipe, sampling=replace(recipe.sampling, steps=steps)), config) for steps in (1, 2)
    )
    return replace(two, tflop=one.tflop + (recipe.sampling.steps - 1) * (two.tflop - one.tflop))


def count_weights(modules: Iterable[nn.Module], *, trained: bool | None = None) -> int:
    """Weights of some modules, each once; ``trained``: only those that are, or are not."""
    found = {
        id(value): value.numel()
        for module in modules
        for value in module.parameters()
        if trained is None or value.requires_grad == trained
    }
    return sum(found.values())


def _count(recipe: Recipe, config: SvamConfig) -> CountedStep:
    # Token ids without values cannot be checked.
    with FakeTensorMode(), patch.object(svam, "check_instruction"):
        with no_init_weights():  # transformers looks at the values that it draws, and here are none
            stage = random_stage(recipe, config)
        for module in stage.frozen:
            # All are on one device already, and torch cannot move tensors without memory in place.
            vars(module)["to"] = partial(_stays, module)
        batch = batch_of_shapes(recipe, config)
        stage.module.train()
        everything = (stage.module, *stage.frozen)
        trained, weights = count_weights([stage.module], trained=True), count_weights(everything)
        with seen_shapes(everything) as inside, LiveBytes() as live:
            _step(stage.module, batch, recipe.training.precision)
        stage.module.zero_grad(set_to_none=True)
        # The counter knows products of matrices, not every fused kernel of attention.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            _step(stage.module, batch, recipe.training.precision)
        return CountedStep(
            trained=trained,
            weights=weights,
            tflop=counter.get_total_flops() / 1e12,
            loop_estimate_bytes=needs_of(trained).memory,
            frozen_bytes=(weights - trained) * _FLOAT_BYTES,
            passing_bytes=live.peak,
            batch=shapes_of(batch),
            inside=dict(inside),
        )


def _stays(module: nn.Module, _device: torch.device) -> nn.Module:
    return module


def _step(module: nn.Module, batch: Mapping[str, Tensor], precision: str) -> None:
    with _arithmetic(precision):
        losses = module(batch)
    losses[TOTAL].backward()


def _arithmetic(precision: str) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", _PRECISIONS[precision]) if precision in _PRECISIONS else nullcontext()


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of tensors that are made within, while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = 0
        self.peak = 0
        self._known: weakref.WeakSet[UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation and note memory that was not there before."""
        outputs = func(*args, **(kwargs or {}))
        there = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(outputs):
            # A view, or what was changed in place, is no new memory.
            if storage._cdata not in there and storage not in self._known:
                self._note(storage)
        return outputs

    def _note(self, storage: UntypedStorage) -> None:
        self._known.add(storage)
        count = storage.nbytes()
        self.held += count
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, count)

    def _release(self, count: int) -> None:
        self.held -= count


def _storages(values: Any) -> Iterator[UntypedStorage]:
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            yield leaf.untyped_storage()
