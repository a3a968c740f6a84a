"""A made-up but plausible demo, for tests of the report: smooth motion, a lagging arm, some late chunks."""

from __future__ import annotations

import cv2
import numpy as np

from svam_ros.cobot import load_cobot
from svam_ros.profiling.demo_record import (
    ArmTraces,
    CameraStill,
    ChunkTiming,
    DemoRecord,
    JointTrace,
    PlannedChunk,
)
from svam_ros.profiling.environment import Machine
from svam_ros.profiling.latency_histogram import summarize, summarize_stages
from svam_ros.profiling.run_report import CommandFigures, EpisodeResult, MessageFigures, RunReport

STEP_S = 0.04
MEDIANS_MS = {
    "preprocess": 1.3,
    "backbone": 96.0,
    "references": 14.0,
    "decouplers": 27.0,
    "uni_perceiver": 7.5,
    "action_expert": 22.0,
    "publish": 0.4,
}


def demo_record(
    duration_s: float = 9.6,
    seed: int = 0,
    speed: float = 1.0,
    instruction: str = "lift the pot with both arms",
) -> DemoRecord:
    """A record of one ``lift_pot`` episode; ``speed`` divides the stage times."""
    rng = np.random.default_rng(seed)
    timings = chunk_timings(duration_s, rng, speed)
    report = run_report(timings, speed)
    names = load_cobot().joint_names
    times = np.arange(0, duration_s, 0.005)
    motion = joint_motion(times, duration_s)
    return DemoRecord(
        instruction=instruction,
        episode=1,
        recorded_utc="2026-11-21 02:43 UTC",
        duration_s=duration_s,
        joint_names=names,
        stills=tuple(still(t, duration_s) for t in np.linspace(0, duration_s, 32, endpoint=False)),
        arms={
            arm: arm_traces(times, motion[:, 7 * side : 7 * side + 7], rng)
            for side, arm in enumerate(("left", "right"))
        },
        chunks=tuple(planned(timing, duration_s, rng) for timing in timings),
        timings=timings,
        report=report,
    )


def joint_motion(times, duration_s: float):
    """``(n, 14)``: from home to the pot, close, lift, hold."""
    home = np.array([0, 1.0, -1.0, 0, 0.6, 0, 0.06])
    reach = np.array([0.35, 1.72, -0.95, 0.2, 0.35, -0.3, 0.06])
    grasp = reach + np.array([-0.05, 0.12, 0, 0, 0, 0, -0.045])
    lift = grasp + np.array([0, -0.35, 0.18, 0, 0.12, 0, 0])
    mirror = np.array([-1, 1, 1, -1, 1, -1, 1.0])
    marks = np.array([0.05, 0.4, 0.55, 0.85]) * duration_s
    left = np.tile(home, (len(times), 1))
    for begin, end, start, target in zip(
        marks[:-1], marks[1:], (home, reach, grasp), (reach, grasp, lift), strict=True
    ):
        share = np.clip((times - begin) / (end - begin), 0, 1)[:, None]
        left += (3 * share**2 - 2 * share**3) * (target - start)
    return np.hstack([left, left * mirror])


def arm_traces(times, positions, rng) -> ArmTraces:
    lagged = np.stack([np.interp(times - 0.05, times, column) for column in positions.T], axis=1)
    measured = lagged + rng.normal(0, 4e-4, lagged.shape) * np.array([1, 1, 1, 1, 1, 1, 0.1])
    return ArmTraces(JointTrace(times, measured), JointTrace(times[::2], positions[::2]))


def chunk_timings(duration_s: float, rng, speed: float) -> tuple[ChunkTiming, ...]:
    rows = []
    for sequence, observed in enumerate(np.arange(0.3, duration_s - 0.4, 5 * STEP_S)):
        load = 1 + rng.gamma(2.0, 0.05) + (0.95 if sequence in {11, 30} else 0)
        stages = {name: value * load / speed * rng.uniform(0.97, 1.03) for name, value in MEDIANS_MS.items()}
        stages["total"] = sum(stages.values()) + 2.0 / speed
        rows.append(ChunkTiming(sequence, float(observed), stages["total"] + rng.uniform(6, 30), stages))
    return tuple(rows)


def planned(timing: ChunkTiming, duration_s: float, rng) -> PlannedChunk:
    first = int(timing.observation_age_ms / 1e3 / STEP_S)
    times = timing.observation_time_s + STEP_S * (np.arange(8) + first + 1)
    scale = np.tile([0.012] * 6 + [0.0008], 2)
    targets = joint_motion(times, duration_s) + scale * rng.normal(0, 1, 14)
    return PlannedChunk(timing.sequence, timing.observation_time_s, times, targets)


def run_report(timings: tuple[ChunkTiming, ...], speed: float) -> RunReport:
    late = sum(timing.missed for timing in timings)
    return RunReport(
        effective_hz=24.9,
        stall_ratio=0.004,
        chunks=3 * len(timings),
        deadline_misses=late,
        observation_age_ms=summarize(timing.observation_age_ms for timing in timings),
        stages_ms=summarize_stages([timing.stages_ms for timing in timings]),
        chunks_late=1,
        guard_activity=0.004,
        limits=CommandFigures(0.61, 0.93, max_jerk_ratio=0.97, max_break_ratio=0.02, breaks=2),
        messages=MessageFigures(dropped=3, rejected=1),
        episodes=(
            EpisodeResult("lift_pot", 0, True, 131),
            EpisodeResult("lift_pot", 1, True, 118),
            EpisodeResult("lift_pot", 2, False, 240),
        ),
        model="tiny",
        engine="eager",
        versions={
            "svam_ros": "0.1.0",
            "python": "3.11.7",
            "torch": "2.13.0+cpu",
            "rclpy": "9.1.2",
            "mujoco": "4.0.0",
        },
        machine=Machine("AMD EPYC 7B13 64-Core Processor", 2, 15.6, None, "Debian GNU/Linux 12 (bookworm)"),
    )


def still(time_s: float, duration_s: float) -> CameraStill:
    """A simple picture: table, pot, two grippers that close in and lift."""
    image = np.full((360, 480, 3), (58, 54, 50), np.uint8)
    cv2.rectangle(image, (0, 90), (480, 360), (168, 182, 196), -1)
    share = time_s / duration_s
    rise = int(90 * np.clip((share - 0.55) / 0.3, 0, 1))
    reach = np.clip((share - 0.05) / 0.4, 0, 1)
    cv2.ellipse(image, (240, 262), (74, 26), 0, 0, 360, (120, 134, 148), -1)
    cv2.rectangle(image, (172, 200 - rise), (308, 256 - rise), (52, 60, 190), -1)
    cv2.ellipse(image, (240, 256 - rise), (68, 22), 0, 0, 360, (52, 60, 190), -1)
    cv2.ellipse(image, (240, 200 - rise), (68, 22), 0, 0, 360, (34, 40, 130), -1)
    for side in (-1, 1):
        x = int(240 + side * (200 - 116 * reach))
        cv2.line(image, (240 + side * 230, 60), (x, 215 - rise), (70, 66, 62), 26, cv2.LINE_AA)
        cv2.circle(image, (x, 215 - rise), 15, (40, 150, 235), -1, cv2.LINE_AA)
    return CameraStill(
        float(time_s), cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    )
