"""The figures of one run, as they stand in ``report.json``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from svam_ros.profiling.environment import Machine
from svam_ros.profiling.latency_histogram import LatencySummary


@dataclass(frozen=True)
class LimitRatios:
    """How near the commands came to what the joints are allowed: 1.0 is at the limit."""

    max_velocity_ratio: float | None
    """Fastest command over the allowed velocity, worst joint; ``None`` where nothing was commanded."""
    max_acceleration_ratio: float | None


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode ended."""

    task: str
    seed: int
    success: bool
    steps: int
    """Control steps (40 ms each) until success or the end."""


@dataclass(frozen=True)
class RunReport:
    """Everything in ``report.json``; the field names are its keys."""

    effective_hz: float
    """Fresh commands a second: control steps that came from a chunk, not from a hold.

    A control step counts once, so this cannot exceed 25."""
    stall_ratio: float
    """Control steps without a fresh command over all control steps."""
    chunks: int
    deadline_misses: int
    observation_age_ms: LatencySummary
    """Age of the observation when its chunk was published."""
    stages_ms: Mapping[str, LatencySummary]
    """By name of :data:`svam_ros.profiling.stage_timer.STAGES`."""
    limits: LimitRatios
    episodes: tuple[EpisodeResult, ...]
    model: str
    engine: str
    versions: Mapping[str, str]
    machine: Machine

    @property
    def successes(self) -> int:
        """Episodes that succeeded."""
        return sum(episode.success for episode in self.episodes)


def write_report_json(report: RunReport, path: Path) -> None:
    """Write ``report`` to ``path``, whole or not at all.

    Raises:
        ValueError: a figure is not finite.
    """
    try:
        text = json.dumps(dataclasses.asdict(report), indent=2, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path} is not written, a figure of the report is not finite: {error}") from error
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, path)
