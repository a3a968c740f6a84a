"""Networks without a second copy of their weights: built empty, then given tensors one by one.

A full-size network has two thousand million weights. Building it the plain way would draw random
numbers for all of them, in single precision, only to overwrite them from a file that is in memory too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import Svam

MAPPED_AT_ONCE_BYTES = 64 << 20
"""A file is mapped anew after this much of it, so that pages that were converted are let go."""


class WeightError(ValueError):
    """A weight cannot be used; the text names it and says why."""


def empty_network(config: SvamConfig) -> Svam:
    """The network in evaluation mode with all of its parameters on the meta device: shapes, no memory.

    Constant buffers, which no file holds, are real. Not to be called by two threads at once.
    """
    hook: Callable[..., Any] = _on_meta  # torch's annotation forgets that a hook may return a parameter
    handle = register_module_parameter_registration_hook(hook)
    try:
        with _EmptyOnMeta():
            return Svam(config).eval()
    finally:
        handle.remove()


@lru_cache(maxsize=8)
def weight_shapes(config: SvamConfig) -> Mapping[str, tuple[int, ...]]:
    """Name and shape of every tensor that a model directory of this configuration holds."""
    state = empty_network(config).run_time_state_dict()
    return MappingProxyType({name: tuple(tensor.shape) for name, tensor in state.items()})


def count_weights(config: SvamConfig) -> int:
    """Number of weights of the network at run time."""
    return sum(math.prod(shape) for shape in weight_shapes(config).values())


def give_weights(network: Svam, weights: Iterable[tuple[str, Tensor]]) -> Svam:
    """Make the tensors themselves the network's parameters; nothing is copied.

    Args:
        network: from :func:`empty_network`.
        weights: name and tensor of every parameter, all in one precision and on one device, which become
            the network's.

    Raises:
        WeightError: a value is not finite.
        RuntimeError: a name is missing, unknown, or its tensor has another shape.
    """
    tensors = {}
    for name, tensor in weights:
        if not _is_finite(tensor):
            raise WeightError(f"'{name}' has values that are not finite in {_name(tensor.dtype)}")
        tensors[name] = tensor
    network.load_state_dict(tensors, strict=True, assign=True)
    kind = next(network.parameters())
    return network.to(device=kind.device, dtype=kind.dtype)  # the buffers; parameters are there already


def stored_weights(
    path: Path, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of everything in a safetensors file, in the order in which it lies there.

    What is stored in ``dtype`` stays in the file and is read when it is first used (the file must not
    be written to meanwhile; :func:`svam_ros.artifacts.model_saving.save_model` makes a new one). All
    else is converted tensor by tensor.

    Raises:
        OSError: the file cannot be read.
        safetensors.SafetensorError: it is no safetensors file.
    """
    for names in _groups(path):
        with safe_open(path, framework="pt") as file:
            for name in names:
                yield name, file.get_tensor(name).to(device=device, dtype=dtype)


def _groups(path: Path) -> Iterator[list[str]]:
    """Names of tensors that lie side by side, about ``MAPPED_AT_ONCE_BYTES`` of them at a time."""
    with safe_open(path, framework="pt") as file:
        sizes = {name: math.prod(file.get_slice(name).get_shape()) for name in file.offset_keys()}
    group: list[str] = []
    collected = 0
    for name, elements in sizes.items():
        group.append(name)
        collected += 4 * elements
        if collected >= MAPPED_AT_ONCE_BYTES:
            yield group
            group, collected = [], 0
    yield group


class _EmptyOnMeta(TorchFunctionMode):
    """Tensors that begin without values, as the weights of torch's layers do, never get memory.

    Memory taken and let go for each would leave the heap full of gaps: activations, taken now from this
    gap and now from that, would in the end have touched all of them, at full size 0.5 GB.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        changed = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **changed})


def _on_meta(_module: nn.Module, _name: str, parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)


def _is_finite(tensor: Tensor) -> bool:
    """One pass and no copy: the extremes of a tensor are NaN where any value is."""
    low, high = tensor.aminmax()
    return bool(low.isfinite() & high.isfinite())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
