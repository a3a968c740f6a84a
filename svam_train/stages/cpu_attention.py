"""torch's fused attention is quick forwards and slow backwards on a CPU: training goes around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def attention_for_training(device: torch.device) -> AbstractContextManager[None]:
    """Within it, attention is computed in the way whose backward is quick on ``device``.

    With the small networks that a CPU can train the plain formula's backward takes a third of the time of
    the fused kernel's.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
