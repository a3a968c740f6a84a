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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

from svam_ros.artifacts.engine_files import EngineFiles, EngineRecord, engine_identity, publish_engine
from svam_ros.artifacts.model_directory import ENGINES_FOLDER, WEIGHTS_FILE, ModelDirectory, file_sha256
from svam_ros.engines.exported.engine_kinds import BuildRefused, EngineKind, engine_kind
from svam_ros.engines.exported.onnx_export import (
    EXTERNAL_SUFFIX,
    OPSET,
    example_tensors,
    export_stage,
)
from svam_ros.engines.exported.reference_case import (
    REFERENCE_FILE,
    load_reference_case,
    make_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import Named, StageGraph, pass_shape, run_graphs, stage_graphs
from svam_ros.engines.run_plan import DTYPES
from svam_ros.parameters import DtypeName

Report = Callable[[str], None]
"""Told what is begun."""


@dataclass(frozen=True)
class BuildRequest:
    """What to build."""

    engine: str
    target: str
    precision: DtypeName
    threads: int = 1
    """CPU threads for the comparison."""


def build_engine(model: ModelDirectory, request: BuildRequest, report: Report) -> EngineFiles:
    """Build an engine of a model, compare it with the network, and put it into the model directory.

    Raises:
        BuildRefused: the library does not build that, or another process is building it.
        ImportError: a library is not installed.
        ExportError: a stage cannot be written as a graph.
        EngineInaccurate: the engine is not inside the accuracy table. Nothing is published.
        OSError: the directory cannot be written.
    """
    kind = engine_kind(request.engine, request.target, request.precision)
    library = kind.library()
    started = time.monotonic()
    identity = engine_identity(model, kind.name, library, request.target, request.precision)
    with _work_folder(model, kind.graph_precisions[request.precision]) as work:
        graphs = _export(model, kind.graph_precisions[request.precision], work, report)
        report("compare with the network")
        deviations = _compare(model, kind, request, work, graphs)
        files = {name: file_sha256(work / name) for name in (*_graph_files(graphs), REFERENCE_FILE)}
        record = EngineRecord(
            identity=identity,
            graphs=_graph_hashes(files, graphs),
            files=files,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            build_s=round(time.monotonic() - started, 1),
            checked_by=library,
            deviations=deviations,
        )
        report("publish")
        staging = work.with_name(f".staging-{work.name}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o755)
        for name in files:
            os.link(work / name, staging / name)
        return publish_engine(model, staging, record)


def _export(
    model: ModelDirectory, precision: DtypeName, work: Path, report: Report
) -> tuple[StageGraph, ...]:
    """Every stage as an ONNX file in ``work``, and the case that engines are compared with."""
    report("run the network for what it is compared with")
    network = model.load_network(torch.float32).prepare_for_inference()
    if not (work / REFERENCE_FILE).exists():
        partial = work / f"partial_{REFERENCE_FILE}"
        make_reference_case(model, network).save(partial)
        os.replace(partial, work / REFERENCE_FILE)
    dtype = DTYPES[precision]
    if dtype is not torch.float32:
        del network
        network = model.load_network(dtype).prepare_for_inference()
    graphs = stage_graphs(network)
    waiting = [graph for graph in graphs if not (work / _graph_file(graph)).exists()]
    values = _example_values(graphs, work, dtype) if waiting else {}
    for graph in waiting:
        report(f"export {graph.shape.name} ({graphs.index(graph) + 1} of {len(graphs)})")
        export_stage(graph, example_tensors(graph, values, dtype), work / _graph_file(graph))
    return graphs


def _example_values(graphs: tuple[StageGraph, ...], work: Path, dtype: torch.dtype) -> Named:
    """All tensors of a pass, in the shapes that the graphs are to have."""
    given = load_reference_case(work / REFERENCE_FILE).inputs
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    cast = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }
    return run_graphs(graphs, cast)


def _compare(
    model: ModelDirectory,
    kind: EngineKind,
    request: BuildRequest,
    work: Path,
    graphs: tuple[StageGraph, ...],
) -> dict[str, float]:
    backend = kind.load(work, pass_shape(graphs[0].network), request.precision, request.threads)
    try:
        deviations = measure_deviations(backend, load_reference_case(work / REFERENCE_FILE), model.statistics)
    finally:
        backend.close()
    refuse_inaccurate(
        f"engine '{kind.name}' of {model.path}", model.manifest.config, request.precision, deviations
    )
    return deviations


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


def _graph_files(graphs: tuple[StageGraph, ...]) -> tuple[str, ...]:
    names = [_graph_file(graph) for graph in graphs]
    return (*names, *(f"{name}{EXTERNAL_SUFFIX}" for name in names))


def _graph_hashes(files: dict[str, str], graphs: tuple[StageGraph, ...]) -> dict[str, str]:
    """One hash a stage, of the graph and its weights."""
    return {
        graph.shape.name: hashlib.sha256(
            (files[name := _graph_file(graph)] + files[f"{name}{EXTERNAL_SUFFIX}"]).encode()
        ).hexdigest()
        for graph in graphs
    }
