"""Arithmetic in a wider format than the weights are kept in: what fp64 references of published size need.

The UNet alone has 1.5 thousand million weights: 6 GB in fp32, in fp64 more than most machines have to spare.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def widen_while_running(module: nn.Module, dtype: torch.dtype) -> None:
    """Have every layer's weights converted to ``dtype`` when its forward begins, and back after it.

    Widening is exact, so the values are those of a module converted as a whole. Inputs have to be in
    ``dtype``. What a module with layers in it owns itself (tokens, position tables) is little, may be
    read outside its forward, and is converted for good.
    """
    inside: set[nn.Module] = set()
    for part in module.modules():
        if part in inside:
            continue
        if isinstance(part, nn.MultiheadAttention):  # reads its output layer's weights itself
            inside.update(part.modules())
        elif any(True for _ in part.children()):
            for parameter in part.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
            continue
        _widen_one(part, dtype)


def _widen_one(part: nn.Module, dtype: torch.dtype) -> None:
    own = list(part.parameters())
    kept: list[Tensor] = [parameter.data for parameter in own]

    def widen(_module: nn.Module, _arguments: Any) -> None:
        for parameter, data in zip(own, kept, strict=True):
            parameter.data = data.to(dtype)

    def restore(_module: nn.Module, _arguments: Any, _output: Any) -> None:
        for parameter, data in zip(own, kept, strict=True):
            parameter.data = data

    part.register_forward_pre_hook(widen)
    part.register_forward_hook(restore, always_call=True)
