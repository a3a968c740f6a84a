"""Collects what the nodes report during a run and makes the run's report of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.latency_histogram import summarize, summarize_stages
from svam_ros.profiling.motion_audit import MotionAudit, worst_of
from svam_ros.profiling.run_report import CommandFigures, EpisodeResult, MessageFigures, RunReport
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS, STAGES

RECENT_CHUNKS = 20


@dataclass(frozen=True)
class Pass:
    """One chunk's timing."""

    stages_ms: dict[str, float]
    observation_age_ms: float


@dataclass(frozen=True)
class MotionCounters:
    """The guard's exact counters at one moment."""

    steps_executed: int = 0
    steps_stalled: int = 0
    chunks_late: int = 0
    messages_rejected: int = 0
    active_s: float = 0.0
    """Steady time since the first chunk moved the arms after an engage."""
    ticks_followed: int = 0
    ticks_limited: int = 0

    @staticmethod
    def read(values: dict[str, str]) -> MotionCounters:
        """From the values of a motion status; zeros where it says nothing yet."""
        return MotionCounters(
            steps_executed=int(values.get("steps_executed", 0)),
            steps_stalled=int(values.get("steps_stalled", 0)),
            chunks_late=int(values.get("chunks_late", 0)),
            messages_rejected=int(values.get("messages_rejected", 0)),
            active_s=float(values.get("active_s", 0.0)),
            ticks_followed=int(values.get("ticks_followed", 0)),
            ticks_limited=int(values.get("ticks_limited", 0)),
        )

    @staticmethod
    def of_all(counted: Sequence[MotionCounters]) -> MotionCounters:
        """What was counted in all of them."""
        columns = zip(*map(astuple, (MotionCounters(), *counted)), strict=True)
        return MotionCounters(*map(sum, columns))

    def since(self, earlier: MotionCounters) -> MotionCounters:
        """What was counted between ``earlier`` and now."""
        return MotionCounters(
            self.steps_executed - earlier.steps_executed,
            self.steps_stalled - earlier.steps_stalled,
            self.chunks_late - earlier.chunks_late,
            self.messages_rejected - earlier.messages_rejected,
            self.active_s - earlier.active_s,
            self.ticks_followed - earlier.ticks_followed,
            self.ticks_limited - earlier.ticks_limited,
        )


class RunFigures:
    """Timing of every chunk, counters and audit of every episode."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recording = False
        self._passes: list[Pass] = []
        self._running: list[Pass] = []
        """Of the episode that is not over."""
        self._recent: deque[dict[str, float]] = deque(maxlen=RECENT_CHUNKS)
        self._malformed = self._dropped = 0
        self._episodes: list[EpisodeResult] = []
        self._counters: list[MotionCounters] = []
        self._audits: list[MotionAudit] = []

    @property
    def episodes(self) -> tuple[EpisodeResult, ...]:
        """Those that are over."""
        return tuple(self._episodes)

    def record(self, recording: bool) -> None:
        """Whether chunks count: while the arms are engaged. A new episode drops what a broken one left."""
        with self._lock:
            if recording:
                self._running = []
            self._recording = recording

    def add_timing(self, values: dict[str, str]) -> None:
        """One chunk's timing message; called from the thread that received it."""
        row = {stage: float(values[stage]) for stage in STAGES if stage in values}
        with self._lock:
            self._recent.append(row)
            if not self._recording:
                return
            self._running.append(Pass(row, float(values["observation_age_ms"])))

    def add_episode(
        self,
        result: EpisodeResult,
        counters: MotionCounters,
        audit: MotionAudit,
        *,
        malformed: int,
        dropped: int,
    ) -> None:
        """One episode is over: from now on its chunks count.

        Args:
            result: how it ended.
            counters: what the guard counted in it.
            audit: of the set-points that were sent.
            malformed: set-points that could not be read for the audit.
            dropped: messages that are missing in its recording.
        """
        with self._lock:
            self._passes += self._running
            self._running = []
        self._malformed += malformed
        self._dropped += dropped
        self._episodes.append(result)
        self._counters.append(counters)
        self._audits.append(audit)

    def chunks(self) -> int:
        """Chunks made while the arms were engaged, those of the running episode too."""
        with self._lock:
            return len(self._passes) + len(self._running)

    def recent_stages_ms(self) -> dict[str, float]:
        """Median of each stage over the last chunks, for the live line."""
        with self._lock:
            rows = list(self._recent)
        return {
            stage: float(np.median([row[stage] for row in rows if stage in row]))
            for stage in STAGES
            if any(stage in row for row in rows)
        }

    def report(self, model: str, engine: str) -> RunReport:
        """The figures of the episodes that are over; an interrupted one is not in them."""
        counted = MotionCounters.of_all(self._counters)
        executed, stalled = counted.steps_executed, counted.steps_stalled
        stages_ms = summarize_stages([made.stages_ms for made in self._passes])
        totals = [made.stages_ms["total"] for made in self._passes if "total" in made.stages_ms]
        return RunReport(
            effective_hz=round(executed / counted.active_s, 3) if counted.active_s > 0 else 0.0,
            stall_ratio=round(stalled / max(1, executed + stalled), 5),
            chunks=len(self._passes),
            deadline_misses=sum(total > CHUNK_BUDGET_MS for total in totals),
            chunks_late=counted.chunks_late,
            guard_activity=round(counted.ticks_limited / max(1, counted.ticks_followed), 5),
            observation_age_ms=summarize(made.observation_age_ms for made in self._passes),
            stages_ms=stages_ms,
            limits=CommandFigures.of(worst_of(self._audits), self._malformed),
            messages=MessageFigures(
                dropped=self._dropped,
                rejected=counted.messages_rejected,
            ),
            episodes=self.episodes,
            model=model,
            engine=engine,
            versions=read_versions(),
            machine=read_machine(),
        )
