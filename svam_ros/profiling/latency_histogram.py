"""The one summary of a series of measurements that every figure of the project is given as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from svam_ros.profiling.stage_timer import STAGES


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles of a series, in its own unit (milliseconds for all latencies).

    Percentiles are measured values (the smallest one that at least so many per cent do not exceed), not
    interpolated: with few samples p99 is the worst one, never a number better than it.
    """

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    n: int
    """Number of measurements; with none, the figures are ``None``."""


EMPTY = LatencySummary(None, None, None, None, 0)


def summarize(values: Iterable[float]) -> LatencySummary:
    """p50, p95, p99, max and count of ``values``.

    Raises:
        ValueError: a value is not finite: a broken measurement must not hide in a percentile.
    """
    series = np.fromiter(values, dtype=np.float64)
    if series.size == 0:
        return EMPTY
    if not np.all(np.isfinite(series)):
        bad = int(np.count_nonzero(~np.isfinite(series)))
        raise ValueError(f"{bad} of {series.size} measurements are not finite")
    p50, p95, p99 = np.percentile(series, [50, 95, 99], method="inverted_cdf").tolist()
    return LatencySummary(p50, p95, p99, float(series.max()), int(series.size))


def summarize_stages(passes: Sequence[Mapping[str, float]]) -> dict[str, LatencySummary]:
    """Summary of every stage of :data:`STAGES` over many passes; a stage that never ran has ``n`` 0.

    Args:
        passes: for each pass, milliseconds of the stages that ran (``StageTimer.durations_ms``).
    """
    return {stage: summarize(times[stage] for times in passes if stage in times) for stage in STAGES}
