"""What few training seeds and many scenes say, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ANGLES = 100_001
"""Steps of the integral behind Student's quantile: good for six digits."""
_RESAMPLES = 10_000

Interval = tuple[float, float]


def mean_interval(values: Sequence[float]) -> Interval | None:
    """95 % interval of the mean of few values that scatter normally (Student 1908).

    Returns:
        ``None`` for a single value, which says nothing about how much values scatter.
    """
    if len(values) < 2:
        return None
    half = student_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half


def student_quantile(degrees: int) -> float:
    """Two-sided 95 % quantile of Student's distribution with so many degrees of freedom, at least 1."""
    # With t = sqrt(degrees) * tan(angle) its density is a power of the cosine: the integral is finite.
    angles = np.linspace(0.0, math.pi / 2.0, _ANGLES)
    density = np.cos(angles) ** (degrees - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
    angle = float(np.interp(0.95 * below[-1], below, angles))
    return math.sqrt(degrees) * math.tan(angle)


def scene_interval(differences: NDArray[np.float64]) -> Interval:
    """95 % interval of a mean difference over scenes: bootstrap of whole scenes (Efron 1979).

    How much it would be with other training seeds is not in it.

    Args:
        differences: ``(seeds, scenes)``.
    """
    by_scene = differences.mean(axis=0)
    random = np.random.default_rng(0)
    drawn = by_scene[random.integers(len(by_scene), size=(_RESAMPLES, len(by_scene)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def sign_flip_p(differences: NDArray[np.int64]) -> float:
    """Exact two-sided p of no difference, in which each scene's sum is as likely of the other sign.

    A scene is flipped as a whole, with all seeds: attempts on one scene have much in common. With one seed
    this is McNemar's exact test.

    Args:
        differences: ``(seeds, scenes)``, each -1, 0 or 1.
    """
    sums = differences.sum(axis=0)
    reach = int(np.abs(sums).sum())
    share = np.zeros(2 * reach + 1)  # of every possible total, from -reach to reach
    share[reach] = 1.0
    for size in np.abs(sums[sums != 0]):
        share = (np.roll(share, size) + np.roll(share, -size)) / 2.0
    totals = np.arange(-reach, reach + 1)
    return min(1.0, float(share[np.abs(totals) >= abs(int(sums.sum()))].sum()))
