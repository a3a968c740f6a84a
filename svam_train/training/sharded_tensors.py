"""Tensors of which each process holds a part (FSDP), and tensors that it holds whole, treated alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor


def local_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; every process has to ask for it at the same time."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, model: Tensor) -> Tensor:
    """A whole tensor divided over the processes as ``model`` is, on its device."""
    if isinstance(model, DTensor):
        moved = tensor.to(model.device, model.dtype)
        return distribute_tensor(moved, model.device_mesh, model.placements)
    return tensor


@torch.no_grad()
def copy_saved(saved: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    """Copy whole tensors into those of the same names, divided or not.

    Raises:
        ValueError: names or shapes differ; the text names some.
    """
    wrong = sorted(saved.keys() ^ into.keys())
    wrong += [name for name, tensor in into.items() if name in saved and saved[name].shape != tensor.shape]
    if wrong:
        raise ValueError(f"tensors that are on one side only or differ in shape: {', '.join(wrong[:5])}")
    for name, tensor in into.items():
        local_part(tensor).copy_(local_part(divided_like(saved[name], tensor)))


@contextmanager
def whole_parameters(module: nn.Module, *, reshard_after_forward: bool) -> Iterator[None]:
    """Within the block every process holds all parameters, so that any method of a module can be called.

    Without it only the forward of a sharded module would gather them. Afterwards parts are again gathered
    for as long as ``reshard_after_forward`` says.
    """
    shards = [part for part in module.modules() if isinstance(part, FSDPModule)]
    for part in shards:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in shards:
            part.reshard()
            part.set_reshard_after_forward(reshard_after_forward, recurse=False)
