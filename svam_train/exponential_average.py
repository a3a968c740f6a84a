"""The moving average of the weights: what is evaluated and published."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class ExponentialAverage:
    """Averages parameters and buffers of a module with a decay that warms up."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after step ``step`` (from 0); early steps count for more."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, currents = [], []
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                averages.append(self.values[name])
                currents.append(value)
            else:
                self.values[name].copy_(value)
        torch._foreach_lerp_(averages, currents, 1.0 - decay)

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Take over averages that were saved."""
        for name, value in self.values.items():
            value.copy_(values[name])
