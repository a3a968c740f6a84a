"""A smooth curve through chunk steps, on the steady clock, that ends at rest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import FloatArray


class Reference(NamedTuple):
    """What the chunks say about one moment."""

    positions: FloatArray
    """``(n,)``."""
    velocities: FloatArray
    """``(n,)``; zero where the chunks have ended."""
    fresh: bool
    """The moment lies within a chunk's steps."""
    observed_ns: int
    """Steady time of the observation that the step in force was made from."""


@dataclass(frozen=True)
class ChunkCurve:
    """Knots joined by cubic Hermite segments; before the first and after the last it stands still.

    Segment ``i`` leads from knot ``i - 1`` to knot ``i`` and carries knot ``i``'s marks.
    """

    times_ns: NDArray[np.int64]
    """``(k,)``, strictly increasing, steady."""
    positions: FloatArray
    """``(k, n)``."""
    velocities: FloatArray
    """``(k, n)``."""
    fresh: NDArray[np.bool_]
    """``(k,)``: the segment that ends here is part of a chunk."""
    observed_ns: NDArray[np.int64]
    """``(k,)``: when the knot's observation was made, steady."""
    linear: NDArray[np.bool_]
    """``(n,)``: joints whose curve must stay between its knots (grippers)."""

    @cached_property
    def _times(self) -> list[int]:
        return [int(time_ns) for time_ns in self.times_ns]

    @property
    def start_ns(self) -> int:
        """Time of the first knot."""
        return self._times[0]

    @property
    def end_ns(self) -> int:
        """Time of the last knot."""
        return self._times[-1]

    def at(self, at_ns: int) -> Reference:
        """Sample the curve."""
        index = bisect_left(self._times, at_ns)
        still = np.zeros(self.positions.shape[1])
        if index == len(self._times):
            return Reference(self.positions[-1], still, False, int(self.observed_ns[-1]))
        observed_ns, fresh = int(self.observed_ns[index]), bool(self.fresh[index])
        if index == 0:
            at_knot = self._times[0] == at_ns
            return Reference(
                self.positions[0], self.velocities[0] if at_knot else still, fresh and at_knot, observed_ns
            )
        return Reference(*self._hermite(index, at_ns), fresh, observed_ns)

    def from_time(self, at_ns: int) -> ChunkCurve:
        """The same curve without the knots that no moment from ``at_ns`` on needs."""
        first = max(0, bisect_left(self._times, at_ns) - 1)
        return self._rows(slice(first, None))

    def before(self, at_ns: int) -> ChunkCurve:
        """The knots earlier than ``at_ns``; at least one must be left."""
        return self._rows(slice(None, bisect_left(self._times, at_ns)))

    def after(self, at_ns: int) -> ChunkCurve:
        """The knots later than ``at_ns``; at least one must be left."""
        return self._rows(slice(bisect_right(self._times, at_ns), None))

    def split_at(self, at_ns: int) -> ChunkCurve:
        """The same curve up to ``at_ns``, with a knot there."""
        here = self.at(at_ns)
        knot = self._knot(at_ns, here.positions, here.velocities, here.fresh, here.observed_ns)
        return self.before(at_ns).then(knot) if self.start_ns < at_ns else knot

    def with_lead_in(self, at_ns: int) -> ChunkCurve:
        """The curve, led up to from ``at_ns`` by a straight line with the first knot's velocity."""
        way = self.velocities[0] * ((self.start_ns - at_ns) * 1e-9)
        knot = self._knot(at_ns, self.positions[0] - way, self.velocities[0], False, int(self.observed_ns[0]))
        return knot.then(self)

    def then(self, later: ChunkCurve) -> ChunkCurve:
        """This curve's knots followed by those of ``later``, which begins after its end."""
        return ChunkCurve(
            np.concatenate([self.times_ns, later.times_ns]),
            np.concatenate([self.positions, later.positions]),
            np.concatenate([self.velocities, later.velocities]),
            np.concatenate([self.fresh, later.fresh]),
            np.concatenate([self.observed_ns, later.observed_ns]),
            self.linear,
        )

    def _rows(self, rows: slice) -> ChunkCurve:
        return ChunkCurve(
            self.times_ns[rows],
            self.positions[rows],
            self.velocities[rows],
            self.fresh[rows],
            self.observed_ns[rows],
            self.linear,
        )

    def _knot(
        self, at_ns: int, positions: FloatArray, velocities: FloatArray, fresh: bool, observed_ns: int
    ) -> ChunkCurve:
        return ChunkCurve(
            np.array([at_ns], dtype=np.int64),
            positions[np.newaxis],
            velocities[np.newaxis],
            np.array([fresh]),
            np.array([observed_ns], dtype=np.int64),
            self.linear,
        )

    def _hermite(self, index: int, at_ns: int) -> tuple[FloatArray, FloatArray]:
        start_ns, end_ns = self._times[index - 1], self._times[index]
        span_s = (end_ns - start_ns) * 1e-9
        s = (at_ns - start_ns) / (end_ns - start_ns)
        p0, p1 = self.positions[index - 1], self.positions[index]
        v0, v1 = self.velocities[index - 1] * span_s, self.velocities[index] * span_s
        way = p1 - p0
        # p(s) = p0 + s v0 + s^2 (3 way - 2 v0 - v1) + s^3 (v0 + v1 - 2 way), with v scaled to s in 0..1.
        square, cube = 3.0 * way - 2.0 * v0 - v1, v0 + v1 - 2.0 * way
        positions = p0 + s * (v0 + s * (square + s * cube))
        velocities = (v0 + s * (2.0 * square + 3.0 * s * cube)) / span_s
        return (
            np.where(self.linear, p0 + s * way, positions),
            np.where(self.linear, way / span_s, velocities),
        )


def knot_velocities(actions: FloatArray, step_s: float) -> FloatArray:
    """``(k, n)`` central differences of ``(k, n)`` steps; the last is zero: the curve ends at rest."""
    velocities = np.zeros_like(actions)
    if len(actions) > 1:
        velocities[0] = (actions[1] - actions[0]) / step_s
        velocities[1:-1] = (actions[2:] - actions[:-2]) / (2.0 * step_s)
    return velocities
