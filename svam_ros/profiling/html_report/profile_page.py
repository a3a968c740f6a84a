"""What ``svam profile`` measured, as one page that refers to nothing outside itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svam_ros.profiling.html_report.latency_panels import StageRow, budget_chart, stage_rows
from svam_ros.profiling.html_report.page import TEMPLATES, shipped_text
from svam_ros.profiling.latency_histogram import LatencySummary
from svam_ros.profiling.stage_table import milliseconds
from svam_ros.profiling.stage_timer import STAGES


@dataclass(frozen=True)
class ProfilePage:
    """What the page says."""

    model: str
    lead: str
    """How it was run, in a sentence."""
    measured: Mapping[str, Mapping[str, LatencySummary]]
    """Engine -> stages, the one that was asked for first; ``total`` is the whole call."""
    gflop: Mapping[str, float]
    """Of each stage; empty where there is no network."""
    floor_ms: Mapping[str, float]
    """The least time of each stage on this device."""
    roof: str
    """What the device reached, in a sentence."""
    environment: Mapping[str, str]
    """Machine and versions."""


@dataclass(frozen=True)
class EngineSection:
    """One engine's table."""

    name: str
    note: str
    rows: tuple[StageRow, ...]


@dataclass(frozen=True)
class FloorRow:
    """How near a stage came to the device's least time."""

    stage: str
    name: str
    cells: tuple[str, ...]


def render_profile_page(page: ProfilePage) -> str:
    """The whole page as text."""
    context = {
        "page": page,
        "budget": budget_chart(page.measured),
        "engines": [_section(name, page) for name in page.measured],
        "floor": _floor_rows(page),
        "style": shipped_text("report.css"),
    }
    return TEMPLATES.get_template("profile.html.j2").render(context)


def _section(name: str, page: ProfilePage) -> EngineSection:
    first, ours = next(iter(page.measured.items()))
    mine, reference = page.measured[name]["total"].p50, ours["total"].p50
    note = "The engine that was asked for"
    if name != first and mine and reference:
        note = (
            f"Its passes took turns with those of {first}; its median is {mine / reference:.2f} times as long"
        )
    return EngineSection(name, note, stage_rows(page.measured[name]))


def _floor_rows(page: ProfilePage) -> tuple[FloorRow, ...]:
    stages_ms = next(iter(page.measured.values()))
    rows = []
    for stage in STAGES:
        median = stages_ms[stage].p50
        if stage in page.floor_ms and median:
            least = page.floor_ms[stage]
            cells = (milliseconds(page.gflop[stage]), milliseconds(least), milliseconds(median))
            rows.append(FloorRow(stage, stage.replace("_", " "), (*cells, f"{least / median:.0%}")))
    return tuple(rows)
