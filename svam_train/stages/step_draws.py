"""What a step of training draws, and the rows that are always looked at."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def step_generator(seed: int, step: int) -> np.random.Generator:
    """All that a step draws comes from here: a function of seed and step alone."""
    return np.random.default_rng([seed, step])


def draw_normal(random: np.random.Generator, *shape: int) -> Tensor:
    """Standard normal float32, on the CPU."""
    return torch.from_numpy(random.standard_normal(shape, dtype=np.float32))


def spread_rows(rows: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of ``rows`` rows, evenly over the whole data set: always the same ones."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))
