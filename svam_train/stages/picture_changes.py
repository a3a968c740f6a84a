"""Random changes of brightness, contrast, colour and place of the network's pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from svam_train.recipes.actions import Augmentation


def change_pictures(images: Tensor, changes: Augmentation, random: np.random.Generator) -> Tensor:
    """Every picture in its own way.

    Args:
        images: ``(rows, 3, size, size)`` in [-1, 1].
        changes: how far.
        random: all draws come from here.

    Returns:
        The same shape and range.
    """
    rows = len(images)

    def drawn(largest: float, channels: int) -> Tensor:
        values = random.uniform(-largest, largest, (rows, channels, 1, 1))
        return torch.from_numpy(values.astype(np.float32))

    if changes.shift_px:
        images = _shifted(images, random.integers(-changes.shift_px, changes.shift_px + 1, (rows, 2)))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (1.0 + drawn(changes.contrast, 1))
    # Colours and brightness are of light: counted from black, which is -1.
    images = (images + 1.0) * (1.0 + drawn(changes.colour, 3)) - 1.0
    return (images + 2.0 * drawn(changes.brightness, 1)).clamp(-1.0, 1.0)


def _shifted(images: Tensor, ways: np.ndarray) -> Tensor:
    """Moved down and right by ``(rows, 2)`` pixels; what comes in repeats the edge."""
    size = images.shape[-1]
    axis = np.arange(size)
    down, right = (
        torch.from_numpy(np.clip(axis - way[:, None], 0, size - 1)) for way in (ways[:, 0], ways[:, 1])
    )
    row = torch.arange(len(images))[:, None, None]
    return (
        images.permute(0, 2, 3, 1)[row, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2).contiguous()
    )
