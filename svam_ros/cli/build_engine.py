"""``svam build-engine``: a model's network for a faster library, checked and put into its model directory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console

from svam_ros.parameters import DtypeName, Range

if TYPE_CHECKING:  # torch is loaded only when there is something to build
    from svam_ros.artifacts.engine_files import EngineFiles


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
    """In which the network is to run. auto: float32 on a CPU, float16 on a GPU."""
    out: Path | None = None
    """Build the engine in a copy of the model there. Where that copy stands already it is gone on with;
    another model that stands there is replaced. Not given: the engine goes into the model's own directory."""
    threads: Annotated[int, Range(0, 64)] = 0
    """CPU threads for the comparison at the end. 0: every core."""


class _Steps:
    """One line for every step that is done, and how long it took; the one that runs moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._step: str | None = None
        self._began_s = 0.0

    def __enter__(self) -> _Steps:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._status.stop()
        if kind is None:
            self._finish()

    def begin(self, step: str) -> None:
        """The step before is done, this one begins."""
        self._finish()
        self._step, self._began_s = step, time.monotonic()
        self._status.update(step)

    def _finish(self) -> None:
        if self._step is not None:
            elapsed_s = time.monotonic() - self._began_s
            self._console.print(f"  {elapsed_s:6.1f} s  {self._step}", highlight=False)
        self._step = None


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
    model = open_model(options.model, any_robot=True)  # nothing moves here
    if options.out is not None:
        model = copy_model(model, options.out)
    elif ships_with_package(model.path):
        raise BuildRefused(
            f"{model.path} belongs to the installed package: build the engine in a copy, with --out FOLDER"
        )
    threads = options.threads or len(os.sched_getaffinity(0))
    request = BuildRequest(kind.name, target, precision, threads)
    with _Steps(Console(stderr=True)) as steps:
        built = build_engine(model, request, steps.begin)
    _report(built)
    return 0


def _report(built: EngineFiles) -> None:
    record = built.record
    print(f"{built.folder}")
    print(f"built for {record.identity.library}, {record.identity.target}, {record.identity.precision}")
    print(f"compared with the network by {record.checked_by}:")
    for name, deviation in record.deviations.items():
        print(f"  {name.replace('_', ' '):20} {deviation:.1e}")
