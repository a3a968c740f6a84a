"""What a stage hands to the training loop, and the only thing the loop knows of a stage."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

ImageArray: TypeAlias = NDArray[np.uint8]
"""A picture, (height, width, 3), RGB."""

TOTAL = "total"
"""Name of the loss that is minimised; the others are looked at only."""


class Objective(Protocol):
    """What a stage trains, on what, and how it is looked at.

    In a run of several processes each of them holds an objective of its own, made alike, and every method
    is called in all of them.
    """

    @property
    def module(self) -> nn.Module:
        """Holds exactly the trained parameters.

        ``module(batch)`` returns scalar losses, means over the batch's rows, among them :data:`TOTAL`.
        It draws nothing: noise comes in the batch. (Dropout may draw from torch's global generator, which
        the loop seeds by step.) Frozen networks are held outside of the module, or inside with
        ``requires_grad`` off: those parameters are neither averaged nor saved, and have to be the same
        whenever the objective is made.
        """

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """The whole batch of ``step``, noise included, every tensor with ``size`` rows, on the CPU.

        A function of the run's seed and ``step`` alone, with generators of its own: the loop cuts rows out
        for its process and for accumulation, so that a resumed run and a run of two processes see the same
        numbers. Called from another thread while the module computes.
        """

    def held_out(self, module: nn.Module) -> dict[str, float]:
        """What to know about ``module`` on held-out episodes: always the same rows and noise."""

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        """Pictures to look at, by file name without ending."""

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """What the stage hands on: the tensors of the run's ``weights.safetensors``.

        For these three methods ``module`` is the objective's own, carrying the averaged weights, in
        evaluation mode, without gradients.
        """
