"""A success rate with the interval in which the true one lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class SuccessRate:
    """Successes out of trials.

    Raises:
        ValueError: no trials, or more successes than trials.
    """

    successes: int
    trials: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.trials or self.trials == 0:
            raise ValueError(f"{self.successes} successes of {self.trials} trials cannot be")

    @property
    def rate(self) -> float:
        """Between 0 and 1."""
        return self.successes / self.trials

    def wilson_interval(self) -> tuple[float, float]:
        """95 % score interval (Wilson, 1927): honest for few trials."""
        n, p, z2 = self.trials, self.rate, Z_95**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.wilson_interval()
        return (
            f"{self.successes}/{self.trials} = {100 * self.rate:.0f} % [{100 * low:.0f}-{100 * high:.0f} %]"
        )
