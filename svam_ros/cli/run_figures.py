"""Collects what the nodes report during a run and makes the run's report of it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.latency_histogram import summarize
from svam_ros.profiling.motion_audit import MotionAudit, worst_of
from svam_ros.profiling.run_report import EpisodeResult, LimitRatios, RunReport
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS, STAGES

RECENT_CHUNKS = 20


@dataclass(frozen=True)
class MotionCounters:
    """The guard's exact counters at one moment."""

    steps_executed: int = 0
    steps_stalled: int = 0
    chunks_late: int = 0
    active_s: float = 0.0
    """Steady time since the first chunk moved the arms after an engage."""

    @staticmethod
    def read(values: dict[str, str]) -> MotionCounters:
        """From the values of a motion status; zeros where it says nothing yet."""
        return MotionCounters(
            steps_executed=int(values.get("steps_executed", 0)),
            steps_stalled=int(values.get("steps_stalled", 0)),
            chunks_late=int(values.get("chunks_late", 0)),
            active_s=float(values.get("active_s", 0.0)),
        )

    def since(self, earlier: MotionCounters) -> MotionCounters:
        """What was counted between ``earlier`` and now."""
        return MotionCounters(
            self.steps_executed - earlier.steps_executed,
            self.steps_stalled - earlier.steps_stalled,
            self.chunks_late - earlier.chunks_late,
            self.active_s - earlier.active_s,
        )


class RunFigures:
    """Timing of every chunk, counters and audit of every episode."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recording = False
        self._stages_ms: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self._recent: deque[dict[str, float]] = deque(maxlen=RECENT_CHUNKS)
        self._ages_ms: list[float] = []
        self._episodes: list[EpisodeResult] = []
        self._counters: list[MotionCounters] = []
        self._audits: list[MotionAudit] = []

    @property
    def episodes(self) -> tuple[EpisodeResult, ...]:
        """Those that are over."""
        return tuple(self._episodes)

    def record(self, recording: bool) -> None:
        """Whether chunks count: only while the arms are engaged."""
        with self._lock:
            self._recording = recording

    def add_timing(self, values: dict[str, str]) -> None:
        """One chunk's timing message; called from the thread that received it."""
        row = {stage: float(values[stage]) for stage in STAGES if stage in values}
        with self._lock:
            self._recent.append(row)
            if not self._recording:
                return
            for stage, milliseconds in row.items():
                self._stages_ms[stage].append(milliseconds)
            self._ages_ms.append(float(values["observation_age_ms"]))

    def add_episode(self, result: EpisodeResult, counters: MotionCounters, audit: MotionAudit) -> None:
        """One episode is over."""
        self._episodes.append(result)
        self._counters.append(counters)
        self._audits.append(audit)

    def chunks(self) -> int:
        """Chunks made while the arms were engaged."""
        return len(self._ages_ms)

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
        """The figures of everything so far."""
        executed = sum(counters.steps_executed for counters in self._counters)
        stalled = sum(counters.steps_stalled for counters in self._counters)
        active_s = sum(counters.active_s for counters in self._counters)
        audit = worst_of(self._audits)
        totals = self._stages_ms["total"]
        late = sum(counters.chunks_late for counters in self._counters)
        return RunReport(
            effective_hz=round(executed / active_s, 3) if active_s > 0 else 0.0,
            stall_ratio=round(stalled / max(1, executed + stalled), 5),
            chunks=len(totals),
            deadline_misses=late + sum(total > CHUNK_BUDGET_MS for total in totals),
            observation_age_ms=summarize(self._ages_ms),
            stages_ms={stage: summarize(values) for stage, values in self._stages_ms.items()},
            limits=LimitRatios(audit.max_velocity_ratio, audit.max_acceleration_ratio),
            episodes=self.episodes,
            model=model,
            engine=engine,
            versions=read_versions(),
            machine=read_machine(),
        )
