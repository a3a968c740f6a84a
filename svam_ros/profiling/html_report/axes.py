"""Axes and lines of the report's charts.

Charts are drawn in a box of 1000 by 100 units that is stretched to its place on the page (lines keep
their width), and labels are text beside it, placed in per cent: so they stay readable at any width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from svam_ros.types import FloatArray

WIDTH = 1000.0
HEIGHT = 100.0


@dataclass(frozen=True)
class Tick:
    """A label on an axis."""

    percent: float
    """0 at the low end of the axis, 100 at the high end."""
    text: str


@dataclass(frozen=True)
class Axis:
    """Linear axis from ``low`` to ``high``."""

    low: float
    high: float

    def percent(self, value: float) -> float:
        """Place of ``value``: 0 at ``low``, 100 at ``high``."""
        return 100.0 * (value - self.low) / (self.high - self.low)

    def fractions(self, values: FloatArray) -> FloatArray:
        """Places of many values, 0 to 1."""
        return (values - self.low) / (self.high - self.low)

    def ticks(self, count: int, scale: float = 1.0) -> tuple[Tick, ...]:
        """About ``count`` round numbers; labels show ``value * scale``."""
        step = nice_step((self.high - self.low) * scale / max(count, 1))
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low * scale / step - 1e-9)
        last = math.floor(self.high * scale / step + 1e-9)
        return tuple(
            Tick(self.percent(n * step / scale), f"{n * step + 0.0:.{digits}f}")
            for n in range(first, last + 1)
        )


def nice_step(rough: float) -> float:
    """The step of 1, 2 or 5 times a power of ten that is next above ``rough``.

    Raises:
        ValueError: ``rough`` is not above 0.
    """
    if not rough > 0 or not math.isfinite(rough):
        raise ValueError(f"an axis needs a positive range, got {rough}")
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 5.0):
        if rough <= factor * power * (1 + 1e-9):
            return factor * power
    return 10.0 * power


def padded_axis(values: FloatArray, min_span: float, padding: float = 0.08) -> Axis:
    """An axis around all ``values``, at least ``min_span`` wide so that noise does not look like motion."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    middle, span = (low + high) / 2, max(high - low, min_span)
    return Axis(middle - span * (0.5 + padding), middle + span * (0.5 + padding))


def line_path(x: FloatArray, y: FloatArray, max_points: int = 600) -> str:
    """SVG path through points given as fractions of the box; thinned evenly to ``max_points``."""
    if len(x) > max_points:
        keep = np.linspace(0, len(x) - 1, max_points).round().astype(int)
        x, y = x[keep], y[keep]
    points = [f"{px:.1f} {py:.2f}" for px, py in zip(x * WIDTH, (1 - y) * HEIGHT, strict=True)]
    return "M" + "L".join(points) if points else ""
