"""``svam build-engine``: a model's network for a faster library, checked and put into its model directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from rich.console import Console

from svam_ros.cli.build_steps import BuildSteps
from svam_ros.parameters import DtypeName, Range

if TYPE_CHECKING:  # torch is loaded only when there is something to build
    from svam_ros.artifacts.engine_files import EngineFiles
    from svam_ros.types import Observation


EPISODES = "*.mcap"


@dataclass(frozen=True)
class BuildEngineOptions:
    """What ``svam build-engine`` can be told."""

    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package."""
    engine: Literal["openvino", "tensorrt"] = "openvino"
    """The library that is to run the network: openvino on a CPU, tensorrt on an NVIDIA GPU."""
    target: str = "current"
    """The device it is built for. current: the one that is here; TensorRT for RTX also builds for a GPU that
    is not, such as sm86 (RTX 3090)."""
    precision: DtypeName = "auto"
    """In which the network is to run. auto: float32 on a CPU, float16 on a GPU. int8: layers in eight bits,
    as many as the accuracy table leaves room for; their ranges come from --calibration."""
    calibration: Path | None = None
    """For int8: a recorded episode (.mcap) of what the robot will see, or a folder with such."""
    calibration_observations: Annotated[int, Range(8, 512)] = 64
    """Of all these episodes together, evenly spread."""
    out: Path | None = None
    """Build the engine in a copy of the model there. Where that copy stands already it is gone on with;
    another model that stands there is replaced. Not given: the engine goes into the model's own directory."""
    threads: Annotated[int, Range(0, 64)] = 0
    """CPU threads for the comparison at the end. 0: every core."""


def run_build_engine(options: BuildEngineOptions) -> int:
    """Build it, say how far it is from the network."""
    from svam_ros.artifacts.model_directory import open_model, ships_with_package
    from svam_ros.artifacts.model_saving import copy_model
    from svam_ros.engines.exported.building import BuildRequest, build_engine
    from svam_ros.engines.exported.engine_kinds import (
        BuildRefused,
        chosen_precision,
        chosen_target,
        engine_kind,
    )
    from svam_ros.engines.exported.onnx_export import check_export_libraries

    kind = engine_kind(options.engine)
    kind.library()
    check_export_libraries()
    target, precision = chosen_target(kind, options.target), chosen_precision(kind, options.precision)
    with Console(stderr=True).status("reading the episodes"):
        observations = _calibration(options, precision)
    model = open_model(options.model, any_robot=True)  # nothing moves here
    if options.out is not None:
        model = copy_model(model, options.out)
    elif ships_with_package(model.path):
        raise BuildRefused(
            f"{model.path} belongs to the installed package: build the engine in a copy, with --out FOLDER"
        )
    threads = options.threads or len(os.sched_getaffinity(0))
    request = BuildRequest(kind.name, target, precision, threads, observations)
    with BuildSteps(Console(stderr=True)) as steps:
        built = build_engine(model, request, steps.begin)
    _report(built)
    return 0


def _calibration(options: BuildEngineOptions, precision: DtypeName) -> tuple[Observation, ...]:
    """What was seen in the episodes that were named."""
    from svam_ros.engines.exported.engine_kinds import BuildRefused
    from svam_ros.recording.replay import ReplaySettings, recorded_observations

    if precision != "int8":
        if options.calibration is not None:
            raise BuildRefused(f"--calibration is for --precision int8; '{precision}' needs no ranges")
        return ()
    settings = {path: ReplaySettings.recorded(path) for path in _episodes(options.calibration)}
    stamps = [
        (path, seen.stamp_ns) for path in settings for seen in recorded_observations(path, settings[path])
    ]
    count = min(options.calibration_observations, len(stamps))
    chosen: dict[Path, set[int]] = {}
    for place in np.linspace(0, len(stamps) - 1, count).round().astype(int):
        path, stamp_ns = stamps[place]
        chosen.setdefault(path, set()).add(stamp_ns)
    return tuple(
        observation
        for path, wanted in chosen.items()
        for observation in recorded_observations(path, settings[path], wanted)
    )


def _episodes(place: Path | None) -> list[Path]:
    from svam_ros.engines.exported.engine_kinds import BuildRefused

    if place is None:
        raise BuildRefused(
            "int8 takes the range of every activation from what the robot sees: give recorded episodes with "
            "--calibration EPISODE.mcap"
        )
    if not place.exists():
        raise BuildRefused(f"--calibration: there is no {place}")
    episodes = sorted(place.glob(EPISODES)) if place.is_dir() else [place]
    if not episodes:
        raise BuildRefused(f"--calibration: {place} holds no episode ({EPISODES})")
    return episodes


def _report(built: EngineFiles) -> None:
    record = built.record
    print(f"{built.folder}")
    print(f"built for {record.identity.library}, {record.identity.target}, {record.identity.precision}")
    print(f"compared with the network by {record.checked_by}:")
    for name, deviation in record.deviations.items():
        print(f"  {name.replace('_', ' '):20} {deviation:.1e}")
    if record.quantized_layers:
        kept = ", ".join(record.kept_groups) or "none"
        print(f"{record.quantized_layers} layers in eight bits; groups kept out of them: {kept}")
