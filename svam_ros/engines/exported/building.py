"""From a model directory to an engine in it: export, build, compare, publish.

What a kill leaves is gone on with: finished graphs lie in a folder below ``engines/`` whose name says what
they were made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch

from svam_ros.artifacts.engine_files import (
    EngineFiles,
    EngineIdentity,
    EngineRecord,
    engine_identity,
    publish_engine,
)
from svam_ros.artifacts.model_directory import ENGINES_FOLDER, WEIGHTS_FILE, ModelDirectory, file_sha256
from svam_ros.engines.exported.engine_kinds import (
    COMPILED_SUFFIX,
    BuildRefused,
    EngineKind,
    chosen_precision,
    chosen_target,
    engine_kind,
)
from svam_ros.engines.exported.onnx_export import (
    EXTERNAL_SUFFIX,
    OPSET,
    example_tensors,
    export_stage,
)
from svam_ros.engines.exported.onnxruntime_backend import OnnxRuntimeBackend, onnxruntime_library
from svam_ros.engines.exported.reference_case import (
    REFERENCE_FILE,
    load_reference_case,
    make_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import Named, StageGraph, pass_shape, run_graphs, stage_graphs
from svam_ros.engines.exported.tensorrt_build import CURRENT
from svam_ros.engines.run_plan import DTYPES
from svam_ros.parameters import DtypeName

Report = Callable[[str], None]
"""Told what is begun."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build."""

    engine: str
    target: str = CURRENT
    """The device that it is for; ``current``: the one that is here."""
    precision: DtypeName = "auto"
    """``auto``: the library's first."""
    threads: int = 1
    """CPU threads for the comparison."""


def build_engine(model: ModelDirectory, request: BuildRequest, report: Report) -> EngineFiles:
    """Build an engine of a model, compare it with the network, and put it into the model directory.

    Raises:
        BuildRefused: the library does not build that, or another process is building it.
        ImportError: a library is not installed.
        ExportError: a stage cannot be written as a graph.
        TensorRtError: a stage cannot be compiled.
        EngineInaccurate: the engine is not inside the accuracy table. Nothing is published.
        OSError: the directory cannot be written.
    """
    kind = engine_kind(request.engine)
    library = kind.library()
    precision = chosen_precision(kind, request.precision)
    identity = engine_identity(model, kind.name, library, chosen_target(kind, request.target), precision)
    started = time.monotonic()
    with _work_folder(model, kind.graph_precisions[precision]) as work:
        build = _Build(model, kind, identity, work, request.threads, report)
        graphs = build.export()
        engine_files = build.compile(graphs)
        checked_by, deviations = build.compare(graphs)
        record = EngineRecord(
            identity=identity,
            graphs={graph.shape.name: _graph_hash(work, graph) for graph in graphs},
            files={name: file_sha256(work / name) for name in (*engine_files, REFERENCE_FILE)},
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            build_s=round(time.monotonic() - started, 1),
            checked_by=checked_by,
            deviations=deviations,
        )
        report("publish")
        return publish_engine(model, _staged(work, record.files), record)


@dataclass(frozen=True)
class _Build:
    """One build, step by step; every step leaves what is finished alone."""

    model: ModelDirectory
    kind: EngineKind
    identity: EngineIdentity
    work: Path
    threads: int
    report: Report

    @property
    def _precision(self) -> DtypeName:
        return chosen_precision(self.kind, cast(DtypeName, self.identity.precision))

    def export(self) -> tuple[StageGraph, ...]:
        """Every stage as an ONNX file, and the case that engines are compared with."""
        self.report("run the network for what it is compared with")
        network = self.model.load_network(torch.float32).prepare_for_inference()
        if not (self.work / REFERENCE_FILE).exists():
            partial = self.work / f"partial_{REFERENCE_FILE}"
            make_reference_case(self.model, network).save(partial)
            os.replace(partial, self.work / REFERENCE_FILE)
        dtype = DTYPES[self.kind.graph_precisions[self._precision]]
        if dtype is not torch.float32:
            del network  # two at once would need half as much memory again
            network = self.model.load_network(dtype).prepare_for_inference()
        graphs = stage_graphs(network)
        waiting = [graph for graph in graphs if not (self.work / _graph_file(graph)).exists()]
        values = _example_values(graphs, self.work, dtype) if waiting else {}
        for graph in waiting:
            self.report(f"export {graph.shape.name} ({graphs.index(graph) + 1} of {len(graphs)})")
            export_stage(graph, example_tensors(graph, values, dtype), self.work / _graph_file(graph))
        return graphs

    def compile(self, graphs: tuple[StageGraph, ...]) -> tuple[str, ...]:
        """The names of the engine's files, without the reference case."""
        if self.kind.compile is None:
            names = [_graph_file(graph) for graph in graphs]
            return (*names, *(f"{name}{EXTERNAL_SUFFIX}" for name in names))
        timing_cache = self.work.parent / f".timing-{self.kind.name}-{self.identity.target}"
        for index, graph in enumerate(graphs, 1):
            compiled = self.work / f"{graph.shape.name}{COMPILED_SUFFIX}"
            if not compiled.exists():
                self.report(f"compile {graph.shape.name} ({index} of {len(graphs)})")
                source = self.work / _graph_file(graph)
                self.kind.compile(graph.shape, source, compiled, self.identity.target, timing_cache)
        return tuple(f"{graph.shape.name}{COMPILED_SUFFIX}" for graph in graphs)

    def compare(self, graphs: tuple[StageGraph, ...]) -> tuple[str, dict[str, float]]:
        """What ran the pass that is compared with the network, and how far it is from it.

        An engine for a device that is not here is judged by its graphs; when it is loaded there, it is
        compared itself.
        """
        self.report("compare with the network")
        shape = pass_shape(graphs[0].network)
        if self.kind.here() == self.identity.target:
            checked_by = self.identity.library
            backend = self.kind.load(self.work, shape, self._precision, self.threads)
        else:
            checked_by = onnxruntime_library()
            backend = OnnxRuntimeBackend(self.work, shape, threads=self.threads)
        try:
            case = load_reference_case(self.work / REFERENCE_FILE)
            deviations = measure_deviations(backend, case, self.model.statistics)
        finally:
            backend.close()
        name = f"engine '{self.kind.name}' of {self.model.path}"
        refuse_inaccurate(name, self.model.manifest.config, self._precision, deviations)
        return checked_by, deviations


def _example_values(graphs: tuple[StageGraph, ...], work: Path, dtype: torch.dtype) -> Named:
    """All tensors of a pass, in the shapes that the graphs are to have."""
    given = load_reference_case(work / REFERENCE_FILE).inputs
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    return run_graphs(
        graphs, {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
    )


def _staged(work: Path, files: Iterable[str]) -> Path:
    """A folder with these files of the work and nothing else; they are linked, not copied."""
    staging = work.with_name(f".staging-{work.name}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o755)
    for name in files:
        os.link(work / name, staging / name)
    return staging


@contextmanager
def _work_folder(model: ModelDirectory, precision: DtypeName) -> Iterator[Path]:
    """A folder for the graphs of these weights in this precision; it stays where the work is cut short."""
    made_of = {
        "weights": model.manifest.files[WEIGHTS_FILE],
        "precision": precision,
        "opset": OPSET,
        "versions": {name: version(name) for name in ("svam_ros", "torch", "onnxscript")},
    }
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    work = model.path / ENGINES_FOLDER / f".work-{digest}"
    work.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BuildRefused(
                f"another process is building an engine of {model.path}: wait for it"
            ) from error
        yield work
        shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)


def _graph_file(graph: StageGraph) -> str:
    return f"{graph.shape.name}.onnx"


def _graph_hash(work: Path, graph: StageGraph) -> str:
    """Of a stage's graph and its weights."""
    name = _graph_file(graph)
    return hashlib.sha256(
        (file_sha256(work / name) + file_sha256(work / f"{name}{EXTERNAL_SUFFIX}")).encode()
    ).hexdigest()
