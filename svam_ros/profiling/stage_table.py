"""What a terminal shows: the table at the end of a run and the line while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from svam_ros.profiling.latency_histogram import LatencySummary
from svam_ros.profiling.run_report import RunReport
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS, PAPER_SETUP, PAPER_STAGES_MS, STAGES
from svam_ros.profiling.verdicts import judge

CAPTION_WIDTH = 88
"""Room for the verdicts under the table, so that none is broken over two lines."""

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "dim")}


@dataclass(frozen=True)
class LiveStatus:
    """What is known at one moment of a run. ``None``: not known yet."""

    phase: str
    """One word: ``starting``, ``engaging``, ``moving``, ``holding``, ``stopping``."""
    elapsed_s: float
    episode: int
    """Counts from 1."""
    episodes: int
    effective_hz: float | None
    stages_ms: Mapping[str, float]
    """Latest median, or latest value, of the stages that ran."""
    successes: int
    finished: int
    """Episodes that are over."""


def stage_table(
    stages_ms: Mapping[str, LatencySummary],
    title: str,
    caption: Text | None = None,
    gflop: Mapping[str, float] | None = None,
) -> Table:
    """One row per stage: p50, p95, p99, max, count, and the paper's time on an RTX 3090.

    Args:
        stages_ms: stages that never ran are left out.
        title: above the table.
        caption: below it.
        gflop: arithmetic of each stage. It and the rate at the median time take the place of p99, for which
            there is no room beside them in 80 columns.
    """
    note = Text(
        f"paper: {PAPER_SETUP}; a network of another size compares with it in form, not in speed", "dim"
    )
    caption = note if caption is None else Text("\n").join([caption, note])
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.caption_justify = "left"
    table.caption_style = ""
    table.add_column("stage", no_wrap=True)
    last = ("p99 ms", "max ms", "n") if gflop is None else ("max ms", "n", "GFLOP", "GFLOP/s")
    for heading in ("p50 ms", "p95 ms", *last, "paper ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    paper = {**PAPER_STAGES_MS, "total": sum(PAPER_STAGES_MS.values())}
    for stage in STAGES:
        row = stages_ms.get(stage)
        if row is None or row.n == 0:
            continue
        if stage == "total":
            table.add_section()
        figures = [row.p50, row.p95, row.max] if gflop is not None else [row.p50, row.p95, row.p99, row.max]
        cells = [*map(milliseconds, figures), str(row.n)]
        if gflop is not None:
            cells += _cost_cells(gflop.get(stage), row.p50)
        table.add_row(stage.replace("_", " "), *cells, milliseconds(paper.get(stage)))
    return table


def _cost_cells(gflop: float | None, median_ms: float | None) -> list[str]:
    rate = gflop / median_ms * 1e3 if gflop and median_ms else None
    return [milliseconds(gflop), milliseconds(rate)]


def floor_table(
    stages_ms: Mapping[str, LatencySummary],
    floor_ms: Mapping[str, float],
    launches: Mapping[str, int],
    caption: Text,
) -> Table:
    """How near every stage came to the least time that the device needs for its arithmetic and its memory."""
    table = Table(
        title="what the device could do",
        caption=caption,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        caption_style="",
        min_width=CAPTION_WIDTH - 10,
    )
    table.add_column("stage", no_wrap=True)
    for heading in ("p50 ms", "least ms", "reached", "launches"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in STAGES:
        row = stages_ms[stage]
        if stage not in floor_ms or not row.p50:
            continue
        if stage == "total":
            table.add_section()
        reached = f"{floor_ms[stage] / row.p50:.0%}"
        cells = (milliseconds(row.p50), milliseconds(floor_ms[stage]), reached, str(launches[stage]))
        table.add_row(stage.replace("_", " "), *cells)
    return table


def comparison_table(
    ours: tuple[str, Mapping[str, LatencySummary]], other: tuple[str, Mapping[str, LatencySummary]]
) -> Table:
    """Median and p99 of both engines stage by stage, and how many times as fast as the other ours is."""
    (name, ours_ms), (other_name, other_ms) = ours, other
    table = Table(
        title=f"{name} against {other_name}, in turn",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
    )
    table.add_column("stage", no_wrap=True)
    for heading in (name, other_name):
        table.add_column(f"{heading} p50 ms", justify="right")
        table.add_column("p99 ms", justify="right", no_wrap=True)
    table.add_column("ratio of p50", justify="right")
    for stage in STAGES:
        mine, theirs = ours_ms[stage], other_ms[stage]
        if not mine.n and not theirs.n:
            continue
        if stage == "total":
            table.add_section()
        ratio = f"{theirs.p50 / mine.p50:.2f}" if mine.p50 and theirs.p50 else "–"
        figures = (mine.p50, mine.p99, theirs.p50, theirs.p99)
        table.add_row(stage.replace("_", " "), *map(milliseconds, figures), ratio)
    return table


def run_table(report: RunReport) -> Table:
    """The one table at the end of a run: the stages, and under them what the run is judged by."""
    caption = Text()
    for verdict in judge(report):
        mark, style = _MARKS[verdict.holds]
        caption.append(f"{mark} ", style)
        caption.append(f"{verdict.name:<18}")
        caption.append(f"{verdict.value} {verdict.unit}".strip().ljust(14), "bold")
        caption.append(f"{verdict.criterion}\n", "dim")
    age = report.observation_age_ms
    caption.append(
        f"  {report.chunks} chunks, {report.deadline_misses} later than {CHUNK_BUDGET_MS:.0f} ms, "
        f"observation age p50 {milliseconds(age.p50)} p99 {milliseconds(age.p99)} ms\n"
        f"  limits kept {100.0 * report.guard_activity:.1f} % of the set-points off the chunks' path",
        "dim",
    )
    table = stage_table(report.stages_ms, f"{report.model} · {report.engine}", caption)
    table.min_width = CAPTION_WIDTH
    return table


def live_line(status: LiveStatus) -> Text:
    """The line that is redrawn while a run goes on; cut off where the terminal ends."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{status.phase:<9}", "bold cyan")
    line.append(f"{status.elapsed_s:6.1f} s  episode {status.episode}/{status.episodes}")
    line.append("  success ", "dim")
    line.append(f"{status.successes}/{status.finished}  ")
    line.append(f"{status.effective_hz:4.1f} Hz" if status.effective_hz is not None else "  –  Hz", "bold")
    for stage, name in (
        ("total", "total"),
        ("backbone", "backbone"),
        ("decouplers", "decouplers"),
        ("action_expert", "expert"),
    ):
        if stage in status.stages_ms:
            late = stage == "total" and status.stages_ms[stage] > CHUNK_BUDGET_MS
            line.append(f"  {name} ", "dim")
            line.append(f"{status.stages_ms[stage]:.0f} ms", "red" if late else "")
    return line


def milliseconds(value: float | None) -> str:
    """Three digits that matter: ``0.42``, ``36.5``, ``231``; a dash where nothing was measured."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"
