"""Stages compiled by TensorRT 10 or 11, or by TensorRT for RTX, from one code path.

TensorRT for RTX compiles for a named GPU without having one; the other two compile for the GPU that is here.
"""

from __future__ import annotations

import importlib
import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from svam_ros.engines.exported.killable_process import ProcessDied, run_killable
from svam_ros.engines.exported.stage_graphs import StageShape
from svam_ros.whole_files import whole_file

_LOG = logging.getLogger(__name__)

CURRENT = "current"
"""The target that stands for the GPU that is here."""


class TensorRtError(RuntimeError):
    """TensorRT refused a graph, an engine or a device; the text has its own words."""


@lru_cache(maxsize=1)
def tensorrt_module() -> Any:
    """TensorRT where it is installed, else TensorRT for RTX, which has the same interface.

    Raises:
        ImportError: neither is; the text says how to install one.
    """
    try:
        return importlib.import_module("tensorrt")
    except ImportError as missing:
        try:
            return importlib.import_module("tensorrt_rtx")
        except ImportError as error:
            raise ImportError(
                f"engine 'tensorrt' needs TensorRT ({missing}) or TensorRT for RTX ({error}): "
                f"pip install 'svam_ros[tensorrt]'"
            ) from error


def tensorrt_library() -> str:
    """Name and exact version."""
    trt = tensorrt_module()
    return f"{trt.__name__} {trt.__version__}"


def current_target() -> str | None:
    """The compute capability of the GPU that is here, such as ``sm86``; ``None`` where there is none."""
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return f"sm{major}{minor}"


def buildable_targets() -> tuple[str, ...]:
    """Compute capabilities that the library here compiles for."""
    trt = tensorrt_module()
    named = getattr(trt, "ComputeCapability", None)
    if named is not None:
        return tuple(name.lower() for name in named.__members__ if re.fullmatch(r"SM\d+", name))
    here = current_target()
    return () if here is None else (here,)


def compile_stage_killable(
    shape: StageShape, graph: Path, engine: Path, target: str, timing_cache: Path
) -> None:
    """:func:`compile_stage` in a process of its own: the library compiles for minutes, deaf to Ctrl-C.

    Raises:
        TensorRtError: as there; or the library took its process with it.
    """
    try:
        run_killable(compile_stage, shape, graph, engine, target, timing_cache)
    except ProcessDied as error:
        raise TensorRtError(f"TensorRT's process {error}, compiling stage '{shape.name}'") from error


def compile_stage(shape: StageShape, graph: Path, engine: Path, target: str, timing_cache: Path) -> None:
    """Compile one ONNX file; nothing lies at ``engine`` before all of it does.

    Args:
        shape: what the graph has to take and give.
        graph: the ONNX file. Its precision is the engine's: networks are strongly typed.
        engine: where the compiled stage goes.
        target: one of :func:`buildable_targets`.
        timing_cache: what the library learnt about kernels in earlier stages; read and brought up to date.

    Raises:
        TensorRtError: the graph cannot be parsed or compiled, or takes and gives something else.
    """
    trt = tensorrt_module()
    logger = tensorrt_logger(trt)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise TensorRtError(f"{graph.name}: TensorRT cannot read stage '{shape.name}': {reasons}")
    _compare_tensors(shape, network)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # what allocates cannot be captured
    if hasattr(trt, "ComputeCapability"):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0)
    measures = trt.__name__ == "tensorrt"  # TensorRT for RTX chooses kernels where it runs, and has no cache
    if measures:
        known = timing_cache.read_bytes() if timing_cache.exists() else b""
        cache = config.create_timing_cache(known)
        measures = bool(cache) and config.set_timing_cache(cache, False)  # False: none of another device
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise TensorRtError(f"TensorRT cannot compile stage '{shape.name}' for {target}: {logger.last_error}")
    _write(engine, bytes(serialized))
    if measures:
        _write(timing_cache, bytes(config.get_timing_cache().serialize()))


def _compare_tensors(shape: StageShape, network: Any) -> None:
    inputs = tuple(network.get_input(index).name for index in range(network.num_inputs))
    outputs = tuple(network.get_output(index).name for index in range(network.num_outputs))
    if set(inputs) != set(shape.inputs) or set(outputs) != set(shape.outputs):
        raise TensorRtError(
            f"stage '{shape.name}' takes {', '.join(shape.inputs)} and gives {', '.join(shape.outputs)}; "
            f"its graph takes {', '.join(inputs)} and gives {', '.join(outputs)}"
        )


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(data)


def tensorrt_logger(trt: Any) -> Any:
    """TensorRT's messages in Python's log; the last error is kept for the sentence that a person reads."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = "no reason was given"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last_error = message
                _LOG.info("TensorRT: %s", message)

    return Logger()
