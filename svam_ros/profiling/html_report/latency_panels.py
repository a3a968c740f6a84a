"""Where the time goes: stages against the budget and the paper, every chunk, and their distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from svam_ros.profiling.demo_record import ChunkTiming, DemoRecord
from svam_ros.profiling.html_report.axes import HEIGHT, WIDTH, Axis, Tick
from svam_ros.profiling.html_report.joint_panels import time_axis
from svam_ros.profiling.latency_histogram import EMPTY, LatencySummary
from svam_ros.profiling.stage_table import milliseconds
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS, PAPER_SETUP, PAPER_STAGES_MS, STAGES

PARTS = tuple(stage for stage in STAGES if stage != "total")
BINS = 24


@dataclass(frozen=True)
class Segment:
    """One stage in a stacked bar; place and width in per cent of the axis."""

    stage: str
    start: float
    width: float
    text: str
    tip: str


@dataclass(frozen=True)
class StackedBar:
    """The stages of one pass, end to end."""

    label: str
    note: str
    segments: tuple[Segment, ...]
    whisker: tuple[float, float] | None
    """From the end of the bar to p95 of the total."""
    whisker_tip: str


@dataclass(frozen=True)
class BudgetChart:
    """This run and the paper on one axis in milliseconds."""

    bars: tuple[StackedBar, ...]
    ticks: tuple[Tick, ...]
    budget: float
    marks: tuple[Tick, ...]
    """Where the paper's stages end, cumulated."""


@dataclass(frozen=True)
class StageRow:
    """One row of the stage table."""

    stage: str
    name: str
    figures: tuple[str, ...]
    """p50, p95, p99, max."""
    n: int
    paper: str
    bar: float
    """p50 in per cent of the row's scale."""
    whisker: float
    """p95."""
    extreme: float
    """max."""


@dataclass(frozen=True)
class ChunkDot:
    """One chunk in the time line; places in per cent."""

    x: float
    y: float
    tip: str


@dataclass(frozen=True)
class TimelineChart:
    """Total time of each chunk over the episode, and how the times are distributed."""

    in_time: str
    """Dots of chunks that were in time, as one path."""
    late: tuple[ChunkDot, ...]
    dots: tuple[ChunkDot, ...]
    ticks: tuple[Tick, ...]
    budget: float | None
    """Height of the budget line; ``None`` where it lies far above all chunks."""
    bins: tuple[tuple[float, float, float, str], ...]
    """Histogram on the same axis: bottom, height and width in per cent, and a tip."""


def budget_chart(measured: Mapping[str, Mapping[str, LatencySummary]]) -> BudgetChart:
    """Stacked medians of what was measured, by its label, above those of the paper."""
    ends = [sum(_medians(stages_ms).values()) for stages_ms in measured.values()]
    totals = [stages_ms["total"].p95 or 0.0 for stages_ms in measured.values() if "total" in stages_ms]
    axis = Axis(0.0, max(*ends, *totals, CHUNK_BUDGET_MS) * 1.06)
    paper_end = sum(PAPER_STAGES_MS.values())
    return BudgetChart(
        bars=(
            *(_measured_bar(label, stages_ms, axis) for label, stages_ms in measured.items()),
            StackedBar(
                "S-VAM paper",
                f"{PAPER_SETUP}, {paper_end:.1f} ms",
                _segments(PAPER_STAGES_MS, axis),
                None,
                "",
            ),
        ),
        ticks=axis.ticks(8),
        budget=axis.percent(CHUNK_BUDGET_MS),
        marks=_paper_marks(axis),
    )


def _medians(stages_ms: Mapping[str, LatencySummary]) -> dict[str, float]:
    return {stage: summary.p50 for stage in PARTS if (summary := stages_ms.get(stage)) and summary.p50}


def _measured_bar(label: str, stages_ms: Mapping[str, LatencySummary], axis: Axis) -> StackedBar:
    medians, total = _medians(stages_ms), stages_ms.get("total")
    end, whisker, tip = sum(medians.values()), None, ""
    if total and total.p95 is not None and total.p95 > end:
        whisker = (axis.percent(end), axis.percent(total.p95))
        tip = f"95 % of all passes took {milliseconds(total.p95)} ms or less"
    note = f"p50 {milliseconds(total.p50)} ms" if total and total.p50 is not None else "not measured"
    return StackedBar(label, note, _segments(medians, axis), whisker, tip)


def _segments(medians: dict[str, float], axis: Axis) -> tuple[Segment, ...]:
    segments, start = [], 0.0
    for stage in PARTS:
        if stage not in medians:
            continue
        name, width = stage.replace("_", " "), axis.percent(medians[stage])
        text = (
            f"{name} {medians[stage]:.1f}" if width > 14 else (f"{medians[stage]:.1f}" if width > 5 else "")
        )
        segments.append(Segment(stage, start, width, text, f"{name}: {milliseconds(medians[stage])} ms"))
        start += width
    return tuple(segments)


def _paper_marks(axis: Axis) -> tuple[Tick, ...]:
    marks, end = [], 0.0
    for value in PAPER_STAGES_MS.values():
        end += value
        marks.append(Tick(axis.percent(end), f"{end:.1f}"))
    return tuple(marks)


def stage_rows(
    stages_ms: Mapping[str, LatencySummary], observation_age_ms: LatencySummary = EMPTY
) -> tuple[StageRow, ...]:
    """The stages that ran, and the observation's age, each with a bar on one common scale."""
    paper = {**PAPER_STAGES_MS, "total": sum(PAPER_STAGES_MS.values())}
    rows: list[tuple[str, LatencySummary]] = [
        (stage, summary) for stage in STAGES if (summary := stages_ms.get(stage)) and summary.n
    ]
    if observation_age_ms.n:
        rows.append(("observation_age", observation_age_ms))
    scale = Axis(0.0, max([summary.max or 0.0 for _, summary in rows], default=0.0) or 1.0)
    return tuple(_stage_row(stage, summary, paper.get(stage), scale) for stage, summary in rows)


def _stage_row(stage: str, summary: LatencySummary, paper: float | None, scale: Axis) -> StageRow:
    values = (summary.p50, summary.p95, summary.p99, summary.max)
    bar, whisker, _, extreme = (scale.percent(value or 0.0) for value in values)
    return StageRow(
        stage=stage,
        name=stage.replace("_", " "),
        figures=tuple(milliseconds(value) for value in values),
        n=summary.n,
        paper=milliseconds(paper) if paper is not None else "",
        bar=bar,
        whisker=whisker,
        extreme=extreme,
    )


def timeline_chart(record: DemoRecord) -> TimelineChart | None:
    """Every chunk of the episode; ``None`` where no total was measured."""
    timings = [timing for timing in record.timings if "total" in timing.stages_ms]
    if not timings:
        return None
    totals = np.array([timing.stages_ms["total"] for timing in timings])
    highest = float(totals.max())
    near_budget = highest > 0.4 * CHUNK_BUDGET_MS
    y_axis = Axis(0.0, max(highest, CHUNK_BUDGET_MS if near_budget else 0.0) * 1.12 or 1.0)
    x_axis = time_axis(record)
    dots = tuple(_dot(timing, x_axis, y_axis) for timing in timings)
    in_time = "".join(
        f"M{dot.x / 100 * WIDTH:.1f} {(1 - dot.y / 100) * HEIGHT:.2f}h0"
        for dot, timing in zip(dots, timings, strict=True)
        if not timing.missed
    )
    late = tuple(dot for dot, timing in zip(dots, timings, strict=True) if timing.missed)
    budget = y_axis.percent(CHUNK_BUDGET_MS) if near_budget else None
    return TimelineChart(in_time, late, dots, y_axis.ticks(5), budget, _histogram(totals, y_axis))


def _dot(timing: ChunkTiming, x_axis: Axis, y_axis: Axis) -> ChunkDot:
    total = timing.stages_ms["total"]
    tip = (
        f"chunk {timing.sequence} at {timing.observation_time_s:.2f} s: {milliseconds(total)} ms, "
        f"observation {timing.observation_age_ms:.0f} ms old"
    )
    return ChunkDot(x_axis.percent(timing.observation_time_s), y_axis.percent(total), tip)


def _histogram(totals: np.ndarray, y_axis: Axis) -> tuple[tuple[float, float, float, str], ...]:
    counts, edges = np.histogram(totals, bins=BINS, range=(y_axis.low, y_axis.high))
    most = max(int(counts.max()), 1)
    return tuple(
        (
            y_axis.percent(float(low)),
            100.0 / BINS,
            100.0 * int(count) / most,
            f"{int(count)} chunks from {low:.0f} to {high:.0f} ms",
        )
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
        if count
    )
