"""The figures of one run, as they stand in ``report.json``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from svam_ros.profiling.environment import Machine
from svam_ros.profiling.latency_histogram import LatencySummary
from svam_ros.profiling.motion_audit import MotionAudit
from svam_ros.whole_files import write_whole_text


@dataclass(frozen=True)
class CommandFigures:
    """How near the set-points came to what the joints are allowed, as sent. Ratios: 1.0 is at the limit."""

    max_velocity_ratio: float | None
    """Fastest command over the allowed velocity, worst joint; `null` where nothing was commanded."""
    max_acceleration_ratio: float | None
    """The same for the acceleration."""
    max_jerk_ratio: float | None = None
    """The same for the jerk."""
    max_break_ratio: float | None = None
    """Largest displacement across a pause or re-anchoring of the stream, over what the velocity limit allows
    in that time; `null` without one."""
    max_limit_excess: float = 0.0
    """Farthest that a set-point lay outside its position limits, rad or m."""
    breaks: int = 0
    """Pauses and re-anchorings of the stream."""
    malformed: int = 0
    """Set-points that no driver could have obeyed: a joint missing, or a number that is not finite."""

    @staticmethod
    def of(audit: MotionAudit, unreadable: int) -> CommandFigures:
        """The figures of an audit, and of the set-points that could not be read for it."""
        return CommandFigures(
            max_velocity_ratio=audit.max_velocity_ratio,
            max_acceleration_ratio=audit.max_acceleration_ratio,
            max_jerk_ratio=audit.max_jerk_ratio,
            max_break_ratio=audit.max_break_ratio,
            max_limit_excess=audit.max_limit_excess,
            breaks=audit.breaks,
            malformed=unreadable + audit.non_finite,
        )


@dataclass(frozen=True)
class MessageFigures:
    """Messages that were not used."""

    dropped: int = 0
    """Messages that are missing in the recordings, because the disk did not keep up."""
    rejected: int = 0
    """Messages that the guard could not read: malformed chunks and joint states."""


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode ended."""

    task: str
    """What there was to do."""
    seed: int
    """Of the scene."""
    success: bool
    """Whether the task was done in time."""
    steps: int
    """Control steps until success or the end."""
    fraction: float | None = None
    """How much of the task was done, 0 to 1: of ``pour`` the share of the beads in the bowl."""
    stopped: str = ""
    """Why the guard stopped the arms, which ended the episode; empty where it did not."""


@dataclass(frozen=True)
class RunReport:
    """Everything in ``report.json``; the field names are its keys."""

    effective_hz: float
    """Fresh commands a second: control steps that came from a chunk, not from a hold. Each step counts once,
    so it cannot exceed 25 by construction, however many set-points the drivers get."""
    stall_ratio: float
    """Control steps without a fresh command over all control steps."""
    chunks: int
    """Chunks that were made."""
    deadline_misses: int
    """Of these, the ones whose pass took longer than the 320 ms that a chunk lasts. Each counts once."""
    chunks_late: int
    """Chunks that the guard refused because all of their steps were past; they may be misses as well."""
    guard_activity: float
    """Share of the set-points on the chunks' path that the joints' limits kept more than 0.02 rad off it."""
    observation_age_ms: LatencySummary
    """Age of the observation when its chunk was published."""
    stages_ms: Mapping[str, LatencySummary]
    """A latency for each stage of a pass; ``total`` is the whole of it."""
    limits: CommandFigures
    """How near the set-points came to what the joints are allowed."""
    messages: MessageFigures
    """Messages that were not used."""
    episodes: tuple[EpisodeResult, ...]
    """Those that came to their end: an interrupted one is in no figure."""
    model: str
    """What was run."""
    engine: str
    """The way the network was run."""
    versions: Mapping[str, str]
    """Of this package, Python and the libraries."""
    machine: Machine
    """What it was measured on."""

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
    write_whole_text(path, text + "\n")
