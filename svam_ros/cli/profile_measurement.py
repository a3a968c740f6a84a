"""Timing passes of one or several engines, in turn: whatever else the machine does meets all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.profiling.demo_record import ChunkTiming
from svam_ros.profiling.latency_histogram import LatencySummary, summarize_stages
from svam_ros.types import ArmState, CameraFrame, Observation


@dataclass(frozen=True)
class Measurements:
    """What was measured of one engine."""

    stages_ms: dict[str, LatencySummary]
    """Of every stage; ``total`` is the whole call, from observation to actions."""
    instruction_ms: float
    """Encoding the instruction, once."""
    timings: tuple[ChunkTiming, ...]
    """Of every pass: as if its frame had been stamped when the pass began."""


def measure_in_turn(
    engines: Sequence[PolicyEngine], observation: Observation, repeats: int
) -> list[Measurements]:
    """Time the instruction and ``repeats`` passes of each: one pass of the first, one of the second, again.

    Raises:
        PredictionRefused: a model cannot make sense of the instruction or the observation.
    """
    instruction_ms = []
    for engine in engines:
        started = time.perf_counter()
        engine.set_instruction(observation.instruction)
        instruction_ms.append((time.perf_counter() - started) * 1e3)
    passes: list[list[ChunkTiming]] = [[] for _ in engines]
    begun = time.perf_counter()
    for number in range(repeats):
        for engine, timings in zip(engines, passes, strict=True):
            started = time.perf_counter()
            prediction = engine.infer(observation)
            elapsed_ms = (time.perf_counter() - started) * 1e3
            stages_ms = {**prediction.stages_ms, "total": elapsed_ms}
            timings.append(ChunkTiming(number + 1, started - begun, elapsed_ms, stages_ms))
    return [
        Measurements(summarize_stages([it.stages_ms for it in timings]), once_ms, tuple(timings))
        for timings, once_ms in zip(passes, instruction_ms, strict=True)
    ]


def synthetic_observation(robot_profile: str, instruction: str, joints: int = 14) -> Observation:
    """A frame of seeded noise in the size of the profile's camera, and the first ``joints`` at home."""
    camera = load_robot_profile(robot_profile).camera
    noise = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    home = load_cobot().home[:joints]
    arms = ArmState(positions=home, velocities=np.zeros_like(home), left_stamp_ns=0, right_stamp_ns=0)
    return Observation(CameraFrame(rgb=noise, stamp_ns=0), arms, instruction)
