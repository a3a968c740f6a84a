"""The trace leads every frame from its stamp through its pass to the arms, and tools can read it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.demo_records import demo_record

from svam_ros.profiling.demo_record import ArmTraces, ChunkTiming, JointTrace
from svam_ros.profiling.frame_trace import (
    BESIDE,
    CAMERA,
    FIRST_ARM,
    POLICY,
    FrameTimeline,
    frame_trace,
    timeline_of,
    write_frame_trace,
)
from svam_ros.profiling.stage_timer import STAGES


@pytest.fixture(scope="module")
def record():
    return demo_record()


@pytest.fixture(scope="module")
def events(record):
    return frame_trace(timeline_of(record))["traceEvents"]


def slices(events, lane):
    return [event for event in events if event["ph"] == "X" and event["tid"] == lane]


def test_every_lane_has_its_name(events):
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    arms = {FIRST_ARM: "set-points, left arm", FIRST_ARM + 1: "set-points, right arm"}
    assert names == {CAMERA: "front camera", POLICY: "policy_node", **arms}


def test_an_arrow_leads_from_each_frame_through_its_pass_to_both_arms(record, events):
    arrows = defaultdict(list)
    for event in events:
        if event["ph"] in "stf":
            arrows[event["id"]].append((event["ph"], event["tid"], event["ts"]))
    assert set(arrows) == set(range(len(record.timings)))
    beginnings = {(e["tid"], e["ts"]) for e in events if e["ph"] == "X"}
    complete = 0
    for arrow in arrows.values():
        phases, _, times = zip(*arrow, strict=True)
        assert phases[:2] == ("s", "t")
        assert all((lane, at) in beginnings for _, lane, at in arrow), "an arrow binds to no slice"
        assert list(times[:2]) == sorted(times[:2])
        complete += phases == ("s", "t", "f", "f")
    assert complete >= len(arrows) - 2  # the last chunks of an episode may reach no arm


def test_stages_lie_end_to_end_inside_their_pass(record, events):
    policy = slices(events, POLICY)
    passes = [event for event in policy if event["name"].startswith("chunk ")]
    assert len(passes) == len(record.timings)
    for timing, outer in zip(record.timings, passes, strict=True):
        end = outer["ts"] + outer["dur"]
        assert end == pytest.approx((timing.observation_time_s + timing.observation_age_ms / 1e3) * 1e6)
        inner = policy[policy.index(outer) + 1 :][: len(timing.stages_ms) - 1]
        assert [event["name"] for event in inner] == [
            s for s in STAGES if s in timing.stages_ms and s != "total"
        ]
        for before, after in pairwise(inner):
            assert after["ts"] == pytest.approx(before["ts"] + before["dur"], abs=0.01)
        assert inner[0]["ts"] == outer["ts"]


def test_stages_that_ran_at_the_same_time_are_drawn_so(record):
    timing = record.timings[0]
    stages_ms = {"backbone": 60.0, "references": 20.0, "action_expert": 30.0, "total": 95.0}
    at_once = replace(record, timings=(replace(timing, stages_ms=stages_ms),))
    events = frame_trace(timeline_of(at_once))["traceEvents"]
    whole, backbone, expert = slices(events, POLICY)
    (references,) = slices(events, BESIDE)
    assert references["ts"] == backbone["ts"] == whole["ts"]
    assert references["dur"] == pytest.approx(20_000)
    assert expert["ts"] == pytest.approx(backbone["ts"] + 60_000)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names[BESIDE] == "policy_node, at the same time"


def test_set_points_come_after_the_chunk_was_published(record, events):
    period_us = max(np.diff(arm.commanded.times_s).max() for arm in record.arms.values()) * 1e6
    published_us = {e["name"]: e["ts"] + e["dur"] for e in slices(events, POLICY)}
    for lane in (FIRST_ARM, FIRST_ARM + 1):
        first = slices(events, lane)
        assert first
        for event in first:
            since_us = event["ts"] - published_us[event["name"].removeprefix("first after ")]
            assert -0.01 <= since_us <= period_us + 0.01


def test_a_set_point_that_comes_after_the_chunk_is_over_is_not_its():
    """Engaged seconds later: the chunks before moved nothing."""
    timings = tuple(ChunkTiming(n + 1, 0.1 * n, 50.0, {"total": 40.0}) for n in range(4))
    timeline = FrameTimeline(timings, {"left": np.array([0.28, 5.0, 5.01])}, {})
    first_s = [timeline.first_set_point_s("left", timing) for timing in timings]
    assert first_s == [0.28, 0.28, 0.28, None]
    assert [e["id"] for e in frame_trace(timeline)["traceEvents"] if e["ph"] == "f"] == [0, 1, 2]


def test_a_run_without_set_points_or_totals_has_a_trace_too(record):
    nothing = JointTrace(np.zeros(0), np.zeros((0, 7)))
    silent = replace(record, arms={arm: ArmTraces(nothing, nothing) for arm in ("left", "right")})
    assert not slices(frame_trace(timeline_of(silent))["traceEvents"], FIRST_ARM)
    untimed = replace(record, timings=tuple(replace(t, stages_ms={}) for t in record.timings))
    assert {event["ph"] for event in frame_trace(timeline_of(untimed))["traceEvents"]} == {"M"}


def test_the_file_is_json_and_written_whole(record, tmp_path):
    write_frame_trace(timeline_of(record), tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text()) == json.loads(
        json.dumps(frame_trace(timeline_of(record)))
    )
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]
