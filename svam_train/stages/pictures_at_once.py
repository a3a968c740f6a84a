"""How many pictures go through a frozen network at once."""

from __future__ import annotations

import torch

_ON_A_GPU = 32
_ON_A_CPU = 8
"""The first levels of an image encoder soon fill a processor's cache: on one core the tiny one takes 38 ms
for each of 32 pictures of 128 px, and 16 ms for each of 8."""


def pictures_at_once(device: torch.device) -> int:
    """For a network on this device."""
    return _ON_A_CPU if device.type == "cpu" else _ON_A_GPU
