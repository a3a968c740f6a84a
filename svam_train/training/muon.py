"""Muon's step for many small matrices: those of one shape are turned into rotations together.

torch's Muon takes them one by one and always in bfloat16. For matrices 192 wide on two cores one by one
takes two to three times as long, and bfloat16 on a processor that does not multiply it thirteen times as
long again. Arithmetic, settings and state are torch's, so either goes on from the other's checkpoints.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.optim import Muon

from svam_train.training.native_arithmetic import multiplies_bfloat16

_RMS_OF_ADAMW = 0.2
"""Of an AdamW step of length one, as measured by Liu et al. 2025 (arXiv 2502.16982, section 2.2)."""


class BatchedMuon(Muon):
    """``torch.optim.Muon`` whose steps are as long as AdamW's (``adjust_lr_fn="match_rms_adamw"``)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch has two overloads
        """One step.

        Raises:
            ValueError: a closure was given; compute the gradients first.
        """
        if closure is not None:
            raise ValueError("Muon takes no closure here; compute the gradients first")
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for matrices in alike.values():
                self._move(matrices, group)

    def _move(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        updates = torch.stack([self._momentum(matrix, group) for matrix in matrices])
        rotations = orthogonal(updates, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rate = group["lr"] * _RMS_OF_ADAMW * math.sqrt(max(matrices[0].shape))
        for matrix, rotation in zip(matrices, rotations, strict=True):
            matrix.mul_(1.0 - group["lr"] * group["weight_decay"])
            matrix.add_(rotation, alpha=-rate)

    def _momentum(self, matrix: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient, looking ahead along its running mean (Nesterov)."""
        gradient, state, decay = matrix.grad, self.state[matrix], group["momentum"]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean: Tensor = state["momentum_buffer"]
        mean.lerp_(gradient, 1.0 - decay)
        return gradient.lerp(mean, decay) if group["nesterov"] else mean


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """``(n, rows, columns)`` -> the same with singular values near 1 (0.7 to 1.2), by Newton-Schulz.

    The quintic iteration of Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon).
    """
    a, b, c = coefficients
    native = matrices.device.type != "cpu" or multiplies_bfloat16()
    turned = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(torch.bfloat16 if native else torch.float32)
    x = x.mT if turned else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if turned else x).to(matrices.dtype)
