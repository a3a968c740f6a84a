"""From a model directory to an engine in it: export, quantise if asked to, build, compare, publish.

What a kill leaves is gone on with: finished graphs lie in a folder below ``engines/`` whose name says what
they were made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
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
from svam_ros.artifacts.model_directory import ModelDirectory, file_sha256
from svam_ros.artifacts.network_loading import count_weights
from svam_ros.engines.exported.calibration import Inputs, calibration_inputs
from svam_ros.engines.exported.eight_bits import (
    EIGHT_BITS,
    EightBitWork,
    calibration_digest,
    refuse_too_few,
)
from svam_ros.engines.exported.engine_kinds import (
    COMPILED_SUFFIX,
    BuildRefused,
    EngineKind,
    chosen_precision,
    chosen_target,
    engine_kind,
)
from svam_ros.engines.exported.graph_backend import GraphBackend, GraphLoadError
from svam_ros.engines.exported.onnx_export import (
    EXTERNAL_SUFFIX,
    check_export_libraries,
    export_stage,
)
from svam_ros.engines.exported.onnxruntime_backend import OnnxRuntimeBackend, onnxruntime_library
from svam_ros.engines.exported.quantization import check_quantization_library
from svam_ros.engines.exported.quantization_search import Quantized
from svam_ros.engines.exported.reference_case import (
    REFERENCE_FILE,
    EngineInaccurate,
    load_reference_case,
    make_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import (
    Named,
    PassShape,
    StageGraph,
    cast_to,
    pass_shape,
    run_graphs,
    stage_graphs,
)
from svam_ros.engines.exported.tensorrt_build import CURRENT, TensorRtError
from svam_ros.engines.exported.work_folder import work_folder
from svam_ros.engines.run_plan import DTYPES, PEAK_BESIDES_BYTES, plan_run
from svam_ros.parameters import DtypeName
from svam_ros.profiling.memory import available_bytes
from svam_ros.types import Observation
from svam_ros.whole_files import whole_file

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
    observations: tuple[Observation, ...] = ()
    """What the robot sees, for int8: there the ranges of activations come from."""


def build_engine(model: ModelDirectory, request: BuildRequest, report: Report) -> EngineFiles:
    """Build an engine of a model, compare it with the network, and put it into the model directory.

    Raises:
        BuildRefused: the library does not build that, another process is building it, or there are too few
            observations for int8.
        PredictionRefused: the model cannot take one of the observations.
        ImportError: a library is not installed.
        ExportError: a stage cannot be written as a graph.
        TensorRtError: a stage cannot be compiled.
        EngineInaccurate: the engine is not inside the accuracy table. Nothing is published.
        OSError: the directory cannot be written.
    """
    kind = engine_kind(request.engine)
    library = kind.library()
    check_export_libraries()
    precision = chosen_precision(kind, request.precision)
    target = chosen_target(kind, request.target)
    if kind.here() != target:
        onnxruntime_library()  # would be missed only after the last stage is compiled
    identity = engine_identity(model, kind.name, library, target, precision)
    inputs = _calibration(model, precision, request.observations)
    _refuse_without_memory(model)
    started = time.monotonic()
    calibration = calibration_digest(inputs, model.manifest.config)
    with work_folder(model, identity, kind.graph_precisions[precision], calibration) as work:
        build = _Build(model, kind, identity, work, inputs, request.threads, report)
        graphs = build.export()
        quantized = build.quantize(graphs)
        compiled = build.compile(graphs)
        checked_by, deviations = build.compare(graphs)
        files = {path.name: path for path in (*compiled, build.sources / REFERENCE_FILE)}
        record = EngineRecord(
            identity=identity,
            graphs={graph.shape.name: _graph_hash(build.sources, graph) for graph in graphs},
            files={name: file_sha256(path) for name, path in files.items()},
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            build_s=round(time.monotonic() - started, 1),
            checked_by=checked_by,
            deviations=deviations,
            quantized_layers=quantized.layers,
            kept_groups=list(quantized.kept),
        )
        report("publish")
        return publish_engine(model, _staged(work, files.values()), record)


@dataclass(frozen=True)
class _Build:
    """One build, step by step; every step leaves what is finished alone."""

    model: ModelDirectory
    kind: EngineKind
    identity: EngineIdentity
    work: Path
    inputs: tuple[Inputs, ...]
    """Of observations, for int8."""
    threads: int
    report: Report

    @property
    def _precision(self) -> DtypeName:
        return chosen_precision(self.kind, cast(DtypeName, self.identity.precision))

    @property
    def sources(self) -> Path:
        """Folder with the graphs that the engine is made of, and the case that it is compared with."""
        return self.work / EIGHT_BITS if self._precision == EIGHT_BITS else self.work

    def export(self) -> tuple[StageGraph, ...]:
        """Every stage as an ONNX file, and the case that engines are compared with."""
        if not (self.work / REFERENCE_FILE).exists():
            self.report("run the network for what it is compared with")
            network = self.model.load_network(torch.float32).prepare_for_inference()
            with whole_file(self.work / REFERENCE_FILE) as part:
                make_reference_case(self.model, network).save(part)
            del network  # two at once would need half as much memory again
        dtype = DTYPES[self.kind.graph_precisions[self._precision]]
        graphs = stage_graphs(self.model.load_network(dtype).prepare_for_inference())
        waiting = [graph for graph in graphs if not (self.work / _graph_file(graph)).exists()]
        values = _example_values(graphs, self.work, dtype) if waiting else {}
        for graph in waiting:
            self.report(f"export {graph.shape.name} ({graphs.index(graph) + 1} of {len(graphs)})")
            example = tuple(values[name] for name in graph.shape.inputs)
            export_stage(graph, example, self.work / _graph_file(graph))
        return graphs

    def quantize(self, graphs: tuple[StageGraph, ...]) -> Quantized:
        """Graphs that compute in eight bits where that is exact enough; none where it was not asked for."""
        if self._precision != EIGHT_BITS:
            return Quantized(0, 0, ())
        work = EightBitWork(self.model, self.work, self.sources, self.inputs, self.threads, self.report)
        return work.run(pass_shape(graphs[0].network))

    @property
    def _compiled_folder(self) -> Path:
        """Graphs serve every target and library version; what was compiled of them serves one."""
        return self.work / self.identity.digest()

    def compile(self, graphs: tuple[StageGraph, ...]) -> tuple[Path, ...]:
        """The engine's files, without the reference case."""
        sources = [self.sources / _graph_file(graph) for graph in graphs]
        if self.kind.compile is None:
            return (*sources, *(Path(f"{source}{EXTERNAL_SUFFIX}") for source in sources))
        self._compiled_folder.mkdir(exist_ok=True)
        timing_cache = self._compiled_folder / "timing_cache"
        for index, (graph, source) in enumerate(zip(graphs, sources, strict=True), 1):
            if not self._compiled(graph).exists():
                self.report(f"compile {graph.shape.name} ({index} of {len(graphs)})")
                self.kind.compile(
                    graph.shape, source, self._compiled(graph), self.identity.target, timing_cache
                )
        return tuple(self._compiled(graph) for graph in graphs)

    def _compiled(self, graph: StageGraph) -> Path:
        return self._compiled_folder / f"{graph.shape.name}{COMPILED_SUFFIX}"

    def compare(self, graphs: tuple[StageGraph, ...]) -> tuple[str, dict[str, float]]:
        """What ran the pass that is compared with the network, and how far it is from it.

        An engine for a device that is not here is judged by its graphs; when it is loaded there, it is
        compared itself.
        """
        self.report("compare with the network")
        shape = pass_shape(graphs[0].network)
        checked_by, backend = self._loaded(shape)
        try:
            case = load_reference_case(self.sources / REFERENCE_FILE)
            deviations = measure_deviations(backend, case, self.model.statistics)
        finally:
            backend.close()
        name = f"engine '{self.kind.name}' of {self.model.path}"
        try:
            refuse_inaccurate(name, self.model.manifest.config, self._precision, deviations)
        except EngineInaccurate as error:
            shutil.rmtree(self.work)  # what was made is not worth going on with
            raise EngineInaccurate(f"{error}. Nothing was published; engine 'eager' runs the model") from None
        return checked_by, deviations

    def _loaded(self, shape: PassShape) -> tuple[str, GraphBackend]:
        """What runs the stages here, and its name."""
        try:
            if self.kind.here() != self.identity.target:
                return onnxruntime_library(), OnnxRuntimeBackend(self.sources, shape, threads=self.threads)
            folder = self.sources if self.kind.compile is None else self._compiled_folder
            plan = plan_run(self.model.manifest, self.kind.device, self._precision, self.threads)
            backend = self.kind.load(folder, shape, plan)
        except (GraphLoadError, TensorRtError):
            # The same command makes it again; graphs that took a search are not thrown away with the rest.
            shutil.rmtree(self._compiled_folder if self._precision == EIGHT_BITS else self.work)
            raise
        return self.identity.library, backend


def _example_values(graphs: tuple[StageGraph, ...], work: Path, dtype: torch.dtype) -> Named:
    """All tensors of a pass, in the shapes that the graphs are to have."""
    given = load_reference_case(work / REFERENCE_FILE).inputs
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    return run_graphs(graphs, cast_to(tensors, dtype))


def _staged(work: Path, files: Iterable[Path]) -> Path:
    """A folder with these files and nothing else; the work is over, so they are moved."""
    staging = work / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    for path in files:
        os.replace(path, staging / path.name)
    return staging


def _calibration(
    model: ModelDirectory, precision: str, observations: tuple[Observation, ...]
) -> tuple[Inputs, ...]:
    """What the graphs take for the observations; nothing where no ranges are needed."""
    if precision != EIGHT_BITS:
        return ()
    check_quantization_library()
    inputs = calibration_inputs(model, observations)
    refuse_too_few(inputs)
    return inputs


def _refuse_without_memory(model: ModelDirectory) -> None:
    """Sizes of the weights in single precision: the network, the traced graph, and what the library makes."""
    needed = 3 * 4 * count_weights(model.manifest.config) + PEAK_BESIDES_BYTES
    free = available_bytes()
    if free is not None and needed > free:
        raise BuildRefused(
            f"building an engine of {model.manifest.name} takes up to {needed / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free: build it on another machine"
        )
    room = shutil.disk_usage(model.path).free
    if needed > room:
        raise BuildRefused(
            f"building an engine of {model.manifest.name} takes up to {needed / 1e9:.1f} GB on the disk of "
            f"{model.path}, {room / 1e9:.1f} GB are free"
        )


def _graph_file(graph: StageGraph) -> str:
    return f"{graph.shape.name}.onnx"


def _graph_hash(work: Path, graph: StageGraph) -> str:
    """Of a stage's graph and its weights."""
    name = _graph_file(graph)
    return hashlib.sha256(
        (file_sha256(work / name) + file_sha256(work / f"{name}{EXTERNAL_SUFFIX}")).encode()
    ).hexdigest()
