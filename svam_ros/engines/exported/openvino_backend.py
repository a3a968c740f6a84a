"""The stages on a CPU through OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from svam_ros.engines.exported.graph_backend import Array, GraphLoadError
from svam_ros.engines.exported.stage_graphs import PassShape, StageShape
from svam_ros.profiling.stage_timer import StageTimer

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
"""By OpenVINO's names. The graphs are in single precision; OpenVINO converts what it multiplies.

Eight bits are not among them: without VNNI its products of bytes overflow. What ONNX Runtime kept inside
2.7e-2 went 0.25 off on such a processor (OpenVINO 2026.4.1), and was a tenth faster."""


def openvino_library() -> str:
    """Name and exact version.

    Raises:
        ImportError: it is not installed; the text says how to install it.
    """
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"engine 'openvino' needs OpenVINO ({error}): pip install 'svam_ros[openvino]'"
        ) from error
    return f"openvino {version('openvino')}"


class OpenVinoBackend:
    """See :class:`svam_ros.engines.exported.graph_backend.GraphBackend`.

    Args:
        folder: the ONNX files, one a stage.
        shape: the stages.
        threads: CPU threads.
        precision: one of :data:`PRECISIONS`.
    """

    def __init__(self, folder: Path, shape: PassShape, *, threads: int, precision: str) -> None:
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            # Bound to one core, a thread waits there while the simulation or the guard has it.
            "ENABLE_CPU_PINNING": False,
        }
        self._shape = shape
        self._requests: dict[str, Any] = {
            stage.name: _request(core, folder / f"{stage.name}.onnx", settings) for stage in shape.stages
        }
        self._tensors: dict[str, Any] = {}
        for stage in shape.stages:
            self._join(stage)

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        """See the protocol."""
        self._write({"token_ids": token_ids, "attention_mask": attention_mask})
        self._requests[self._shape.instruction.name].infer()

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        """See the protocol."""
        self._write(given)
        for stage in self._shape.frame:
            with timer.stage(stage.name):
                self._requests[stage.name].infer()
        return self.value("actions")

    def value(self, name: str) -> Array:
        """See the protocol."""
        return np.array(self._tensors[name].data, np.float32)

    def close(self) -> None:
        """See the protocol."""
        self._requests.clear()
        self._tensors.clear()

    def _join(self, stage: StageShape) -> None:
        """Let the stage read where earlier stages write, so that nothing is copied in between."""
        request = self._requests[stage.name]
        for name in stage.inputs:
            if name in self._tensors:
                request.set_tensor(name, self._tensors[name])
            else:
                self._tensors[name] = request.get_tensor(name)
        for name in stage.outputs:
            self._tensors[name] = request.get_tensor(name)

    def _write(self, given: Mapping[str, Array]) -> None:
        for name, array in given.items():
            np.copyto(self._tensors[name].data, array, casting="same_kind")


def _request(core: Any, graph: Path, settings: dict[str, Any]) -> Any:
    try:
        return core.compile_model(str(graph), "CPU", settings).create_infer_request()
    except RuntimeError as error:
        raise GraphLoadError(f"{graph}: OpenVINO cannot load it: {error}") from error
