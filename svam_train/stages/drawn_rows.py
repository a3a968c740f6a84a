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
    count = len(rows.instructions)
    shares = np.full(count, size // count)
    shares[(step * size + np.arange(size % count)) % count] += 1
    # Large data sets have more instructions than a batch has rows: most have no share in a step.
    parts = [random.choice(rows.rows_of(place), shares[place]) for place in np.flatnonzero(shares).tolist()]
    return random.permutation(np.concatenate(parts))
