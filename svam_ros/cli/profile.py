"""``svam profile``: how long each stage of the network takes on this machine.

The same engine and the same stopwatch as in policy_node, without ROS and without a camera: the frame is
noise of the camera's size. What a stage costs does not depend on what the picture shows.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import EngineName, Range
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.latency_histogram import LatencySummary, summarize_stages
from svam_ros.profiling.stage_table import stage_table
from svam_ros.types import ArmState, CameraFrame, Observation


@dataclass(frozen=True)
class ProfileOptions:
    """What ``svam profile`` can be told."""

    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package."""
    engine: EngineName = "eager"
    """The way to run the network."""
    repeats: Annotated[int, Range(1, 100_000)] = 50
    """Passes that are timed, after the engine has warmed up."""
    threads: Annotated[int, Range(1, 64)] = 1
    """CPU threads for the network."""
    instruction: str = ""
    """What the network is told to do. Empty: a word of its vocabulary, since all sentences cost the same."""
    profile: str = "cobot_magic"
    """Robot profile: the size of the camera's frames."""
    json: Path | None = None
    """Write the figures, the versions and the machine to this file."""


def run_profile(options: ProfileOptions) -> int:
    """Time the passes, print the table, write the file if asked for."""
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise NotADirectoryError(
            f"there is no folder {options.json.absolute().parent} for {options.json.name}"
        )
    # Threads that OpenMP starts besides the one asked for would disturb what is measured.
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    engine = create_engine(options.engine, options.model, threads=options.threads)
    try:
        observation = synthetic_observation(
            dataclasses.replace(options, instruction=known_instruction(options))
        )
        stages_ms = time_stages(engine, observation, options.repeats)
    finally:
        engine.close()
    machine = read_machine()
    title = f"{engine.model_name} · {engine.name} · {machine.gpu or machine.cpu}"
    Console().print(stage_table(stages_ms, title))
    if options.json is not None:
        figures = {
            "model": engine.model_name,
            "engine": engine.name,
            "threads": options.threads,
            "stages_ms": {stage: dataclasses.asdict(row) for stage, row in stages_ms.items() if row.n},
            "versions": read_versions(),
            "machine": dataclasses.asdict(machine),
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def known_instruction(options: ProfileOptions) -> str:
    """The instruction asked for, or one that the model understands: models know different words.

    Raises:
        ModelDirectoryError: the model directory cannot be opened.
    """
    if options.instruction or options.engine == "scripted":
        return options.instruction
    from svam_ros.artifacts.model_directory import open_model

    return open_model(options.model).tokenizer.known_words()[0]


def time_stages(engine: PolicyEngine, observation: Observation, repeats: int) -> dict[str, LatencySummary]:
    """Run ``repeats`` passes; ``total`` is the whole call, from observation to actions.

    Raises:
        PredictionRefused: the model cannot make sense of the instruction or the observation.
    """
    engine.set_instruction(observation.instruction)
    passes = []
    for _ in range(repeats):
        started = time.perf_counter()
        prediction = engine.infer(observation)
        elapsed_ms = (time.perf_counter() - started) * 1e3
        passes.append({**prediction.stages_ms, "total": elapsed_ms})
    return summarize_stages(passes)


def synthetic_observation(options: ProfileOptions) -> Observation:
    """A frame of seeded noise in the camera's size, and both arms at home."""
    camera = load_robot_profile(options.profile).camera
    noise = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    home = load_cobot().home
    arms = ArmState(positions=home, velocities=np.zeros_like(home), left_stamp_ns=0, right_stamp_ns=0)
    return Observation(CameraFrame(rgb=noise, stamp_ns=0), arms, options.instruction)
