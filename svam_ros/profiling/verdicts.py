"""What a run is judged by: each check with its value, its criterion and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass

from svam_ros.profiling.run_report import CommandFigures, RunReport
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS
from svam_ros.profiling.success_rate import SuccessRate

MIN_EFFECTIVE_HZ = 24.5
"""25 Hz control, with room for the first and last step of a run."""

MAX_STALL_RATIO = 0.01

STAMP_SLEW = 7e-4
"""How much faster or slower than steady time stamps run: what ``control/plan_clock.py`` allows itself."""

MAX_LIMIT_RATIO = (1.0 + STAMP_SLEW) ** 2
MAX_JERK_RATIO = (1.0 + STAMP_SLEW) ** 3
"""At the limit is allowed. Motion is planned in steady time and its stamps tell ROS time: a second of a run
that was slewed throughout is that much shorter, and a jerk holds its third power."""

MAX_LIMIT_EXCESS = 1e-9
"""Rad or m beyond a position limit: rounding."""


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
        _limit("Peak jerk", report.limits.max_jerk_ratio, MAX_JERK_RATIO),
        _set_points(report.limits),
    )


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
    low, high = SuccessRate(report.successes, trials).wilson_interval()
    criterion = f"95 % interval {low * 100:.0f} to {high * 100:.0f} %"
    return Verdict("Success", f"{report.successes} / {trials}", "", criterion, None)


def _limit(name: str, ratio: float | None, allowed: float = MAX_LIMIT_RATIO) -> Verdict:
    if ratio is None:
        return Verdict(name, "–", "", "nothing was commanded", None)
    return Verdict(name, f"{ratio * 100:.0f}", "%", "of what the joint is allowed", ratio <= allowed)


def _set_points(limits: CommandFigures) -> Verdict:
    """Set-points that should never have been sent."""
    name, excess = "Set-points", limits.max_limit_excess
    if limits.max_velocity_ratio is None:
        return Verdict(name, "–", "", "nothing was commanded", None)
    if limits.malformed:
        return Verdict(name, str(limits.malformed), "", "malformed or not finite", False)
    if excess > MAX_LIMIT_EXCESS:
        return Verdict(name, f"{excess:.2g}", "rad or m", "beyond the position limits", False)
    return Verdict(name, "sound", "", "all finite and inside the position limits", True)
