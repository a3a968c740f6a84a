"""Rows of a data set that a step of training takes, shared fairly between the instructions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from svam_train.episodes.batches import EpisodeRows


def balanced_rows(
    random: np.random.Generator, rows: EpisodeRows, size: int, step: int = 0
) -> NDArray[np.int64]:
    """``(size,)`` rows of which every instruction has the same share, whatever its episodes' lengths.

    Where ``size`` is not divisible the instructions take turns with what is left over, from step to step;
    the order is drawn, because processes and accumulated parts take neighbouring rows.
    """
    names = rows.instructions
    shares = [size // len(names)] * len(names)
    for extra in range(size % len(names)):
        shares[(step * size + extra) % len(names)] += 1
    parts = [random.choice(rows.rows_of(n), share) for n, share in zip(names, shares, strict=True)]
    return random.permutation(np.concatenate(parts))
