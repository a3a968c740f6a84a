"""The moving average of the weights: what is evaluated and published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from svam_train.training.sharded_tensors import copy_saved, local_part


class ExponentialAverage:
    """Averages what of a module is trained, with a decay that warms up.

    Of sharded parameters (FSDP) each process averages its own part.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in trained_tensors(module).items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after step ``step`` (from 0); early steps count for more."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, currents = [], []
        for name, value in trained_tensors(module).items():
            average, current = local_part(self.values[name]), local_part(value.detach())
            if current.is_floating_point():
                averages.append(average)
                currents.append(current)
            else:
                average.copy_(current)
        torch._foreach_lerp_(averages, currents, 1.0 - decay)

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Take over averages that were saved, whole ones.

        Raises:
            ValueError: they are of another module.
        """
        copy_saved(values, self.values)

    @contextmanager
    def carried_by(self, module: nn.Module) -> Iterator[None]:
        """Within the block the module has the averaged weights, afterwards its own again, to the bit."""
        self._swap(module)
        try:
            yield
        finally:
            self._swap(module)

    @torch.no_grad()
    def _swap(self, module: nn.Module) -> None:
        """One tensor after the other, so that no second copy of the network is needed."""
        for name, value in trained_tensors(module).items():
            average, current = local_part(self.values[name]), local_part(value.detach())
            held = current.clone()
            current.copy_(average)
            average.copy_(held)


def trained_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters that are trained and buffers that are saved, by name, each tensor once."""
    saved = module.state_dict(keep_vars=True)
    parameters = {name: value for name, value in module.named_parameters() if value.requires_grad}
    return parameters | {name: value for name, value in module.named_buffers() if name in saved}
