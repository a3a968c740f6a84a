"""What a run is judged by: each check with its value, its criterion and whether it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from svam_ros.profiling.run_report import RunReport
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS

MIN_EFFECTIVE_HZ = 24.5
"""25 Hz control, with room for the first and last step of a run."""

MAX_STALL_RATIO = 0.01

MAX_LIMIT_RATIO = 1.0 + 1e-6
"""At the limit is allowed; the margin is for the rounding of stamps to nanoseconds."""


@dataclass(frozen=True)
class Verdict:
    """One figure and what it must satisfy."""

    name: str
    value: str
    unit: str
    criterion: str
    """In words: what holds, or what the figure is to be read against."""
    holds: bool | None
    """``None`` where the figure is not judged, or was not measured."""


def judge(report: RunReport) -> tuple[Verdict, ...]:
    """The figures that a run is looked at for first, in the order of importance."""
    return (
        Verdict(
            "Effective rate",
            f"{report.effective_hz:.1f}",
            "Hz",
            f"at least {MIN_EFFECTIVE_HZ} Hz of fresh commands",
            report.effective_hz >= MIN_EFFECTIVE_HZ,
        ),
        Verdict(
            "Stall ratio",
            f"{report.stall_ratio * 100:.2f}",
            "%",
            f"at most {MAX_STALL_RATIO * 100:.0f} % of steps without a fresh command",
            report.stall_ratio <= MAX_STALL_RATIO,
        ),
        _latency(report),
        _success(report),
        _limit("Peak velocity", report.limits.max_velocity_ratio),
        _limit("Peak acceleration", report.limits.max_acceleration_ratio),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a success rate (Wilson 1927), honest for few trials.

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError("a success rate needs at least one trial")
    z = 1.959964
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _latency(report: RunReport) -> Verdict:
    total = report.stages_ms.get("total")
    if total is None or total.p50 is None or total.p99 is None:
        return Verdict("Latency p50 / p99", "–", "ms", "not measured", None)
    return Verdict(
        "Latency p50 / p99",
        f"{total.p50:.0f} / {total.p99:.0f}",
        "ms",
        f"p99 within the {CHUNK_BUDGET_MS:.0f} ms that a chunk lasts",
        total.p99 <= CHUNK_BUDGET_MS,
    )


def _success(report: RunReport) -> Verdict:
    trials = len(report.episodes)
    if trials == 0:
        return Verdict("Success", "–", "", "no episode was run", None)
    low, high = wilson_interval(report.successes, trials)
    criterion = f"95 % interval {low * 100:.0f} to {high * 100:.0f} %"
    return Verdict("Success", f"{report.successes} / {trials}", "", criterion, None)


def _limit(name: str, ratio: float | None) -> Verdict:
    if ratio is None:
        return Verdict(name, "–", "", "nothing was commanded", None)
    return Verdict(name, f"{ratio * 100:.0f}", "%", "of what the joint is allowed", ratio <= MAX_LIMIT_RATIO)
