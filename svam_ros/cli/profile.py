"""``svam profile``: how long each stage of the network takes on this machine, and how much it computes.

The same engine and the same stopwatch as in policy_node, without ROS and without a camera: the frame is
noise of the camera's size. What a stage costs depends neither on what the picture shows nor on what the
weights are, so a network of full size is profiled with random ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from rich.console import Console
from rich.text import Text

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import DeviceName, DtypeName, EngineName, Range
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.latency_histogram import LatencySummary, summarize_stages
from svam_ros.profiling.stage_table import milliseconds, stage_table
from svam_ros.types import ArmState, CameraFrame, Observation

if TYPE_CHECKING:
    from svam_ros.engines.network_engine import EngineModel
    from svam_ros.engines.run_plan import RunPlan

INSTRUCTION = "instruction"
"""What runs once per instruction, beside the stages that run once per frame."""


@dataclass(frozen=True)
class ProfileOptions:
    """What ``svam profile`` can be told."""

    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package. With random weights: a
    preset."""
    random_weights: bool = False
    """Make the weights of the preset from a seed; no checkpoint is needed."""
    engine: EngineName = "eager"
    """The way to run the network."""
    device: DeviceName = "cpu"
    """Where the network runs."""
    dtype: DtypeName = "auto"
    """In which precision it runs. auto: the fastest here that is exact enough."""
    repeats: Annotated[int, Range(1, 100_000)] = 50
    """Passes that are timed, after the engine has warmed up."""
    threads: Annotated[int, Range(0, 64)] = 0
    """CPU threads for the network. 0: one for a small network, all cores for a large one."""
    instruction: str = ""
    """What the network is told to do. Empty: a word of its vocabulary, since all sentences cost the same."""
    profile: str = "cobot_magic"
    """Robot profile: the size of the camera's frames."""
    json: Path | None = None
    """Write the figures, the versions and the machine to this file."""


@dataclass(frozen=True)
class Measurements:
    """What was measured of one engine."""

    stages_ms: dict[str, LatencySummary]
    """Of every stage; ``total`` is the whole call, from observation to actions."""
    instruction_ms: float
    """Encoding the instruction, once."""
    peak_memory_bytes: int | None
    """Of this process; on a GPU, of this process there."""


def run_profile(options: ProfileOptions) -> int:
    """Say what will run, time the passes, print the table, write the file if asked for."""
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise NotADirectoryError(
            f"there is no folder {options.json.absolute().parent} for {options.json.name}"
        )
    # Threads that OpenMP starts besides the ones asked for would disturb what is measured.
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads or 1))
    if options.engine == "scripted":
        return _profile_scripted(options)

    from svam_ros.engines.run_plan import plan_run
    from svam_ros.engines.stage_cost import count_stage_gflop

    progress = Console(stderr=True)
    model = _open(options)
    plan = plan_run(model.manifest, options.device, options.dtype, options.threads)
    progress.print(f"[dim]{plan.describe()}[/dim]", highlight=False, soft_wrap=True)
    config = model.manifest.config
    observation = synthetic_observation(
        options, options.instruction or model.tokenizer.known_words()[0], config.action_expert.action_dim
    )
    with progress.status("counting the arithmetic") as status:
        gflop = count_stage_gflop(config)
        status.update("loading the weights and warming up")
        engine = create_engine(
            options.engine, model, threads=plan.threads, device=options.device, dtype=plan.dtype_name
        )
        try:
            status.update(f"timing {options.repeats} passes")
            measured = measure(engine, observation, options.repeats, plan)
        finally:
            engine.close()
    _report(options, engine, plan, gflop, measured)
    return 0


def measure(
    engine: PolicyEngine, observation: Observation, repeats: int, plan: RunPlan | None = None
) -> Measurements:
    """Time the instruction and ``repeats`` passes.

    Raises:
        PredictionRefused: the model cannot make sense of the instruction or the observation.
    """
    started = time.perf_counter()
    engine.set_instruction(observation.instruction)
    instruction_ms = (time.perf_counter() - started) * 1e3
    passes = []
    for _ in range(repeats):
        started = time.perf_counter()
        prediction = engine.infer(observation)
        elapsed_ms = (time.perf_counter() - started) * 1e3
        passes.append({**prediction.stages_ms, "total": elapsed_ms})
    peak = plan.peak_memory_bytes() if plan else None
    return Measurements(summarize_stages(passes), instruction_ms, peak)


def synthetic_observation(options: ProfileOptions, instruction: str, joints: int = 14) -> Observation:
    """A frame of seeded noise in the camera's size, and the robot's first ``joints`` at home."""
    camera = load_robot_profile(options.profile).camera
    noise = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    home = load_cobot().home[:joints]
    arms = ArmState(positions=home, velocities=np.zeros_like(home), left_stamp_ns=0, right_stamp_ns=0)
    return Observation(CameraFrame(rgb=noise, stamp_ns=0), arms, instruction)


def _open(options: ProfileOptions) -> EngineModel:
    if options.random_weights:
        from svam_ros.engines.random_model import random_model

        return random_model(options.model)
    from svam_ros.artifacts.model_directory import open_model

    return open_model(options.model, any_robot=True)  # nothing moves here


def _profile_scripted(options: ProfileOptions) -> int:
    """An engine without a network: the time that everything around a network takes."""
    engine = create_engine(options.engine, options.model)
    measured = measure(engine, synthetic_observation(options, options.instruction), options.repeats)
    _report(options, engine, None, None, measured)
    return 0


def _report(
    options: ProfileOptions,
    engine: PolicyEngine,
    plan: RunPlan | None,
    gflop: dict[str, float] | None,
    measured: Measurements,
) -> None:
    """The table, and the file with everything in it."""
    machine = read_machine()
    costs = None if gflop is None else {**gflop, "total": sum(gflop.values()) - gflop[INSTRUCTION]}
    place = machine.gpu if options.device == "cuda" else machine.cpu
    how = f" · {plan.dtype_name}" if plan else ""
    title = f"{engine.model_name} · {engine.name}{how} · {place}"
    caption = _caption(plan, costs, measured)
    Console().print(stage_table(measured.stages_ms, title, caption, costs))
    if options.json is None:
        return
    stages_ms = {stage: row for stage, row in measured.stages_ms.items() if row.n}
    figures = {
        "model": engine.model_name,
        "engine": engine.name,
        **(plan.figures() if plan else {}),
        "stages_ms": {stage: dataclasses.asdict(row) for stage, row in stages_ms.items()},
        "instruction_ms": measured.instruction_ms,
        "gflop": costs,
        "gflop_per_s": {
            stage: costs[stage] / row.p50 * 1e3
            for stage, row in stages_ms.items()
            if costs and stage in costs and row.p50
        },
        "peak_memory_bytes": measured.peak_memory_bytes,
        "peak_memory_per_weight_byte": plan.per_weight_byte(measured.peak_memory_bytes) if plan else None,
        "versions": read_versions(),
        "machine": dataclasses.asdict(machine),
    }
    options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _caption(plan: RunPlan | None, gflop: dict[str, float] | None, measured: Measurements) -> Text | None:
    if plan is None or gflop is None:
        return None
    peak = measured.peak_memory_bytes
    ratio = plan.per_weight_byte(peak)
    return Text(
        f"peak memory {_gigabytes(peak)}, {'?' if ratio is None else f'{ratio:.3g}'} x the weights' "
        f"{_gigabytes(plan.weights_bytes)} · "
        f"{plan.threads} CPU thread{'s' * (plan.threads > 1)}\n"
        f"once per instruction: {milliseconds(measured.instruction_ms)} ms, "
        f"{milliseconds(gflop[INSTRUCTION])} GFLOP",
        "dim",
    )


def _gigabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.2f} GB"
