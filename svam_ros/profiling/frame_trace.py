"""Frames on their way to the arms, as a trace in the Chrome Trace Event format.

https://ui.perfetto.dev and chrome://tracing open it. An arrow leads from a frame's stamp to the pass that
looked at it and on to each arm's first set-point after the chunk was published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from svam_ros.profiling.demo_record import ChunkTiming, DemoRecord
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS, STAGES
from svam_ros.types import FloatArray
from svam_ros.whole_files import write_whole_text

CAMERA, POLICY, BESIDE, FIRST_ARM = 1, 2, 3, 4
"""Lanes, from above; every arm has one of its own."""

_FRAME_US = 1000.0
"""Width at which a frame's stamp, a moment, is drawn: arrows need something to begin at."""


@dataclass(frozen=True)
class FrameTimeline:
    """What is drawn; all times are seconds since one beginning."""

    timings: tuple[ChunkTiming, ...]
    set_point_times_s: Mapping[str, FloatArray]
    """By arm: ``(n,)`` increasing. Without arms there are passes only."""
    about: Mapping[str, str]
    """What a reader is told of the run."""

    def first_set_point_s(self, arm: str, timing: ChunkTiming) -> float | None:
        """Time of the first set-point of ``arm`` behind a chunk's publication.

        None where there is none as long as the chunk lasts: what comes later was not told because of it.
        """
        number = self._first_set_point(arm, timing)
        return None if number is None else float(self.set_point_times_s[arm][number])

    def _first_set_point(self, arm: str, timing: ChunkTiming) -> int | None:
        times_s = self.set_point_times_s[arm]
        published_s = timing.observation_time_s + timing.observation_age_ms / 1e3
        number = int(np.searchsorted(times_s, published_s))
        if number < len(times_s) and times_s[number] <= published_s + CHUNK_BUDGET_MS / 1e3:
            return number
        return None

    def set_point_slice_s(self, arm: str, timing: ChunkTiming) -> tuple[float, float] | None:
        """That set-point and the next one; None where one of them is not there."""
        number = self._first_set_point(arm, timing)
        times_s = self.set_point_times_s[arm]
        if number is None or number + 1 >= len(times_s):
            return None
        return float(times_s[number]), float(times_s[number + 1])


def timeline_of(record: DemoRecord) -> FrameTimeline:
    """The timeline of a recorded episode."""
    return FrameTimeline(
        record.timings,
        {arm: traces.commanded.times_s for arm, traces in record.arms.items()},
        {
            "instruction": record.instruction,
            "model": record.report.model,
            "engine": record.report.engine,
            "recorded": record.recorded_utc,
        },
    )


def frame_trace(timeline: FrameTimeline) -> dict[str, Any]:
    """The trace of a timeline; times are microseconds since its beginning.

    Stages are laid end to end from the beginning of their pass; what is left at the end is what no stage was
    charged with. When each began is not known: where they take longer together than their pass, the
    references must have run beside the backbone, as on a GPU, and so they are drawn.
    """
    events: list[dict[str, Any]] = []
    for number, timing in enumerate(timeline.timings):
        if "total" in timing.stages_ms:
            events += _pass(timeline, timing, number)
    names = [_named("process_name", 0, "svam_ros"), *_lanes(timeline)]
    if any(event["tid"] == BESIDE for event in events):
        names.append(_named("thread_name", BESIDE, "policy_node, at the same time"))
    return {"traceEvents": names + events, "displayTimeUnit": "ms", "otherData": dict(timeline.about)}


def write_frame_trace(timeline: FrameTimeline, path: Path) -> None:
    """Write the trace to ``path``, whole or not at all."""
    write_whole_text(path, json.dumps(frame_trace(timeline), allow_nan=False))


def _lanes(timeline: FrameTimeline) -> list[dict[str, Any]]:
    lanes = {CAMERA: "front camera", POLICY: "policy_node"}
    lanes |= {
        FIRST_ARM + number: f"set-points, {arm} arm" for number, arm in enumerate(timeline.set_point_times_s)
    }
    return [_named("thread_name", lane, name) for lane, name in lanes.items()]


def _pass(timeline: FrameTimeline, timing: ChunkTiming, number: int) -> list[dict[str, Any]]:
    """``number`` tells its arrows from all others: sequences begin anew with every run of the policy."""
    seen_us = timing.observation_time_s * 1e6
    published_us = seen_us + timing.observation_age_ms * 1e3
    begun_us = published_us - timing.stages_ms["total"] * 1e3
    name = f"chunk {timing.sequence}"
    details = {"sequence": timing.sequence, "observation_age_ms": round(timing.observation_age_ms, 3)}
    events = [
        _slice(CAMERA, "frame", seen_us, _FRAME_US, details),
        _arrow("s", CAMERA, seen_us, number),
        _slice(POLICY, name, begun_us, published_us - begun_us, details),
        _arrow("t", POLICY, begun_us, number),
    ]
    events += _stages(timing, begun_us)
    for lane, arm in enumerate(timeline.set_point_times_s, FIRST_ARM):
        if (drawn_s := timeline.set_point_slice_s(arm, timing)) is not None:
            begin_us, end_us = (1e6 * at_s for at_s in drawn_s)
            events.append(_slice(lane, f"first after {name}", begin_us, end_us - begin_us, details))
            events.append(_arrow("f", lane, begin_us, number))
    return events


def _stages(timing: ChunkTiming, begun_us: float) -> list[dict[str, Any]]:
    durations_us = {stage: timing.stages_ms[stage] * 1e3 for stage in STAGES if stage in timing.stages_ms}
    total_us = durations_us.pop("total")
    at_once = sum(durations_us.values()) > total_us and {"backbone", "references"} <= durations_us.keys()
    events = []
    for stage, duration_us in durations_us.items():
        if at_once and stage == "references":
            forked_us = begun_us - durations_us["backbone"]
            events.append(_slice(BESIDE, stage, forked_us, duration_us, {}))
            begun_us = max(begun_us, forked_us + duration_us)
            continue
        events.append(_slice(POLICY, stage, begun_us, duration_us, {}))
        begun_us += duration_us
    return events


def _slice(
    lane: int, name: str, begin_us: float, duration_us: float, details: dict[str, Any]
) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": "frame",
        "name": name,
        "pid": 1,
        "tid": lane,
        "ts": round(begin_us, 3),
        "dur": round(max(duration_us, 0.0), 3),
        "args": details,
    }


def _arrow(phase: str, lane: int, at_us: float, number: int) -> dict[str, Any]:
    """``s`` starts, ``t`` goes on, ``f`` ends; each binds to the slice that begins there."""
    arrow = {"ph": phase, "cat": "frame", "name": "frame to arms", "id": number, "pid": 1, "tid": lane}
    return {**arrow, "ts": round(at_us, 3), **({"bp": "e"} if phase == "f" else {})}


def _named(kind: str, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": 1, "tid": lane, "args": {"name": name}}
