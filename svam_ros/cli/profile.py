"""``svam profile``: how long each stage of the network takes on this machine, and how much it computes.

The same engine and the same stopwatch as in policy_node, without a camera, and without ROS but for ``--ros``,
where that node runs already: the frame is noise of the camera's size. What a stage costs depends neither on
what the picture shows nor on what the weights are, so a network of full size is profiled with random ones.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from rich.console import Console
from rich.text import Text

from svam_ros.cli.profile_measurement import Measurements, measure_in_turn, synthetic_observation
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import DeviceMemoryName, DeviceName, DtypeName, EngineName, Range
from svam_ros.profiling.device_state import CpuState, GpuState, read_device_state
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.frame_trace import FrameTimeline, write_frame_trace
from svam_ros.profiling.html_report.profile_page import ProfilePage, render_profile_page
from svam_ros.profiling.stage_table import comparison_table, floor_table, milliseconds, stage_table
from svam_ros.whole_files import write_whole_text

if TYPE_CHECKING:
    from svam_ros.engines.device_roof import DeviceRoof
    from svam_ros.engines.network_engine import EngineModel
    from svam_ros.engines.run_plan import RunPlan
    from svam_ros.engines.stage_cost import StageCost

_WITH_ROS = {"ros", "namespace", "profile", "repeats", "json", "html", "trace"}
"""Options that say something about nodes that are running."""

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
    against: Literal["none", "plain", "eager", "compiled", "openvino", "tensorrt"] = "none"
    """Another way, whose passes are timed in turn with those of the first: only so is a ratio worth much.
    plain: the published form of a network of these sizes, with random weights."""
    device: DeviceName = "cpu"
    """Where the network runs."""
    dtype: DtypeName = "auto"
    """In which precision it runs. auto: the fastest here that is exact enough."""
    repeats: Annotated[int, Range(1, 100_000)] = 50
    """Passes that are timed, after the engine has warmed up."""
    threads: Annotated[int, Range(0, 64)] = 0
    """CPU threads for the network. 0: one for a small network, all cores for a large one."""
    device_memory: DeviceMemoryName = "torch"
    """Whose memory and streams engine tensorrt uses on a GPU; with pycuda nothing is captured."""
    instruction: str = ""
    """What the network is told to do. Empty: a word of its vocabulary, since all sentences cost the same."""
    profile: str = "cobot_magic"
    """Robot profile: the size of the camera's frames."""
    json: Path | None = None
    """Write the figures, the versions and the machine to this file."""
    html: Path | None = None
    """Write a page with the stages as bars, beside the paper's, to this file."""
    trace: Path | None = None
    """Write the passes as a trace to this file, for https://ui.perfetto.dev; with --ros from each frame's
    stamp to the arms."""
    ros: bool = False
    """Time the passes of policy_node where it is running instead, on ROS_DOMAIN_ID. Model and engine are that
    node's then."""
    namespace: str = ""
    """ROS namespace of our nodes, for --ros."""


@dataclass(frozen=True)
class Network:
    """What is known of the network that was timed, besides its times."""

    plan: RunPlan
    costs: dict[str, StageCost]
    roof: DeviceRoof
    peak_bytes: int | None
    """Memory that the process had at most after the passes; with two engines, of both."""
    state: GpuState | CpuState | None
    """Clocks and power right after the passes, where they can be read."""

    @property
    def gflop(self) -> dict[str, float]:
        """Of every stage; ``total`` is a frame's."""
        gflop = {stage: cost.gflop for stage, cost in self.costs.items()}
        return {**gflop, "total": sum(gflop.values()) - gflop[INSTRUCTION]}

    @property
    def launches(self) -> dict[str, int]:
        """Of every stage; ``total`` is a frame's."""
        launches = {stage: cost.launches for stage, cost in self.costs.items()}
        return {**launches, "total": sum(launches.values()) - launches[INSTRUCTION]}

    @property
    def floor_ms(self) -> dict[str, float]:
        """The least time of every stage here; ``total`` is a frame's."""
        floor_ms = {stage: cost.floor_ms(self.roof) for stage, cost in self.costs.items()}
        return {**floor_ms, "total": sum(floor_ms.values()) - floor_ms[INSTRUCTION]}

    def figures(self, measured: Measurements) -> dict[str, object]:
        """For the file."""
        gflop, number = self.gflop, self.roof.bytes_per_number
        return {
            **self.plan.figures(),
            "gflop": gflop,
            "gflop_per_s": {
                stage: gflop[stage] / row.p50 * 1e3
                for stage, row in measured.stages_ms.items()
                if stage in gflop and row.p50
            },
            "megabytes": {stage: cost.megabytes(number) for stage, cost in self.costs.items()},
            "launches": self.launches,
            "roof": dataclasses.asdict(self.roof),
            "floor_ms": self.floor_ms,
            "device_state": None if self.state is None else dataclasses.asdict(self.state),
            "peak_memory_bytes": self.peak_bytes,
            "peak_memory_per_weight_byte": self.plan.per_weight_byte(self.peak_bytes),
        }


class ProfileRefused(ValueError):
    """Options that contradict each other; the text says which."""


def run_profile(options: ProfileOptions) -> int:
    """Say what will run, time the passes, print the table, write the file if asked for."""
    for path in (options.json, options.html, options.trace):
        if path is not None and not path.absolute().parent.is_dir():
            raise NotADirectoryError(f"there is no folder {path.absolute().parent} for {path.name}")
    if options.ros:
        return _profile_running(options)
    if options.namespace:
        raise ProfileRefused("--namespace says where running nodes are: add --ros")
    # Threads that OpenMP starts besides the ones asked for would disturb what is measured.
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads or 1))
    if options.engine == "scripted":
        return _profile_scripted(options)

    from svam_ros.engines.device_roof import measure_roof
    from svam_ros.engines.run_plan import plan_run
    from svam_ros.engines.stage_cost import count_stage_costs

    progress = Console(stderr=True)
    model = _open(options)
    plan = plan_run(model.manifest, options.device, options.dtype, options.threads, options.device_memory)
    progress.print(f"[dim]{plan.describe()}[/dim]", highlight=False, soft_wrap=True)
    config = model.manifest.config
    sentence = options.instruction or model.tokenizer.known_words()[0]
    observation = synthetic_observation(options.profile, sentence, config.action_expert.action_dim)
    names = [options.engine] if options.against == "none" else [options.engine, options.against]
    with progress.status("counting the arithmetic") as status, ExitStack() as opened:
        costs = count_stage_costs(config)
        engines = []
        for name in names:
            status.update(f"loading {name} and warming up")
            engines.append(_engine(name, model, plan, asked_for=name == options.engine))
            opened.callback(engines[-1].close)
        status.update(f"timing {options.repeats} passes" + (" of each in turn" if len(names) > 1 else ""))
        measured = measure_in_turn(engines, observation, options.repeats)
        state = read_device_state(plan.device.type)
        peak_bytes = plan.peak_memory_bytes()
    with progress.status("measuring what the device can do"):
        roof = measure_roof(plan.device, plan.dtype, plan.threads)
    _report(options, engines[0], measured, Network(plan, costs, roof, peak_bytes, state))
    return 0


def _profile_running(options: ProfileOptions) -> int:
    """The passes of running nodes, which were told elsewhere what to run."""
    from svam_ros.cli.profile_running import ListeningOptions, profile_running_nodes

    listening = ListeningOptions(
        options.repeats, options.profile, options.namespace, options.json, options.html, options.trace
    )
    ours = {field.name for field in dataclasses.fields(ProfileOptions)} - _WITH_ROS
    told = [name for name in sorted(ours) if getattr(options, name) != getattr(ProfileOptions(), name)]
    if told:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in told)
        raise ProfileRefused(f"{names} cannot be given with --ros: the nodes that run have their own")
    return profile_running_nodes(listening)


def _engine(name: str, model: EngineModel, plan: RunPlan, *, asked_for: bool) -> PolicyEngine:
    """Warm. What another one is only compared with runs in the precision around its eight bits."""
    if name != "plain":
        device = cast("DeviceName", plan.device.type)
        around = plan.dtype_name == "int8" and not asked_for
        dtype = str(plan.dtype).removeprefix("torch.") if around else plan.dtype_name
        return create_engine(
            name,
            model,
            threads=plan.threads,
            device=device,
            dtype=cast("DtypeName", dtype),
            device_memory=plan.device_memory if asked_for else "torch",
        )
    from svam_ros.engines.plain import PlainEngine

    plain = PlainEngine(model, threads=plan.threads, device=plan.device)
    plain.warm_up()
    return plain


def _open(options: ProfileOptions) -> EngineModel:
    if options.random_weights:
        from svam_ros.engines.random_model import random_model

        return random_model(options.model)
    from svam_ros.artifacts.model_directory import open_model

    return open_model(options.model, any_robot=True)  # nothing moves here


def _profile_scripted(options: ProfileOptions) -> int:
    """An engine without a network: the time that everything around a network takes."""
    if options.against != "none":
        raise ProfileRefused("engine 'scripted' has no network that another one could be compared with")
    engine = create_engine(options.engine, options.model)
    observation = synthetic_observation(options.profile, options.instruction)
    _report(options, engine, measure_in_turn([engine], observation, options.repeats), None)
    return 0


def _report(
    options: ProfileOptions,
    engine: PolicyEngine,
    measured: Sequence[Measurements],
    network: Network | None,
) -> None:
    """The tables, and the files that were asked for."""
    machine = read_machine()
    place = machine.gpu if options.device == "cuda" else machine.cpu
    how = f" · {network.plan.dtype_name}" if network else ""
    title = f"{engine.model_name} · {engine.name}{how} · {place}"
    console = Console()
    caption = None if network is None else _caption(network, measured[0])
    gflop = None if network is None else network.gflop
    console.print(stage_table(measured[0].stages_ms, title, caption, gflop))
    if network is not None:
        roof = Text(_roof_text(network), "dim")
        console.print(floor_table(measured[0].stages_ms, network.floor_ms, network.launches, roof))
    if options.against != "none":
        ours, other = measured
        console.print(comparison_table((engine.name, ours.stages_ms), (options.against, other.stages_ms)))
    if options.html is not None:
        write_whole_text(options.html, render_profile_page(_page(options, title, measured, network)))
    if options.trace is not None:
        about = {"model": engine.model_name, "engine": engine.name, "instruction": options.instruction}
        write_frame_trace(FrameTimeline(measured[0].timings, {}, about), options.trace)
    if options.json is not None:
        figures = _figures(options, engine, measured, network)
        write_whole_text(options.json, json.dumps(figures, indent=2) + "\n")


def _figures(
    options: ProfileOptions,
    engine: PolicyEngine,
    measured: Sequence[Measurements],
    network: Network | None,
) -> dict[str, object]:
    """For the file."""
    return {
        "model": engine.model_name,
        "engine": engine.name,
        **_stage_figures(measured[0]),
        "against": None
        if options.against == "none"
        else {"engine": options.against, **_stage_figures(measured[1])},
        **(network.figures(measured[0]) if network else {}),
        "versions": read_versions(),
        "machine": dataclasses.asdict(read_machine()),
    }


def _page(
    options: ProfileOptions, title: str, measured: Sequence[Measurements], network: Network | None
) -> ProfilePage:
    again = " again" if options.against == options.engine else ""
    names = [options.engine, f"{options.against}{again}"]
    machine = {name: str(value) for name, value in dataclasses.asdict(read_machine()).items()}
    return ProfilePage(
        model=title,
        lead=f"svam profile, {options.repeats} passes of each engine after its warm-up",
        measured={name: one.stages_ms for name, one in zip(names, measured, strict=False)},
        gflop=network.gflop if network else {},
        floor_ms=network.floor_ms if network else {},
        roof=_roof_text(network).replace("\n", " ") if network else "",
        environment={**machine, **read_versions()},
    )


def _stage_figures(measured: Measurements) -> dict[str, object]:
    stages_ms = {stage: dataclasses.asdict(row) for stage, row in measured.stages_ms.items() if row.n}
    return {"stages_ms": stages_ms, "instruction_ms": measured.instruction_ms}


def _caption(network: Network, measured: Measurements) -> Text:
    plan, peak = network.plan, network.peak_bytes
    ratio = plan.per_weight_byte(peak)
    return Text(
        f"peak memory {_gigabytes(peak)}, {'?' if ratio is None else f'{ratio:.3g}'} x the weights' "
        f"{_gigabytes(plan.weights_bytes)} · "
        f"{plan.threads} CPU thread{'s' * (plan.threads > 1)}\n"
        f"once per instruction: {milliseconds(measured.instruction_ms)} ms, "
        f"{milliseconds(network.gflop[INSTRUCTION])} GFLOP",
        "dim",
    )


def _roof_text(network: Network) -> str:
    roof = network.roof
    return (
        f"an estimate: every product, convolution and attention at what was reached here just now:\n"
        f"{roof.flop_per_s / 1e9:.0f} GFLOP/s in a large product, {roof.bytes_per_s / 1e9:.1f} GB/s in a "
        f"large copy; nothing stays in a cache, element by element is free. Launches are those of eager:\n"
        f"a pass that is a captured graph is launched once"
        + (f"\n{network.state.describe()}" if network.state else "")
    )


def _gigabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.2f} GB"
