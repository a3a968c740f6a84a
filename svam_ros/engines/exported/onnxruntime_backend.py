"""The stages through ONNX Runtime on a CPU: to check graphs whose own device is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from svam_ros.engines.exported.graph_backend import Array, GraphLoadError
from svam_ros.engines.exported.stage_graphs import PassShape, StageShape
from svam_ros.profiling.stage_timer import StageTimer

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def onnxruntime_library() -> str:
    """Name and exact version.

    Raises:
        ImportError: it is not installed; the text says how to install it.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"graphs are checked by ONNX Runtime ({error}): pip install 'svam_ros[tensorrt]'"
        ) from error
    return f"onnxruntime {version('onnxruntime')}"


class OnnxRuntimeBackend:
    """See :class:`svam_ros.engines.exported.graph_backend.GraphBackend`.

    Args:
        folder: the ONNX files, one a stage.
        shape: the stages.
        threads: CPU threads.
    """

    def __init__(self, folder: Path, shape: PassShape, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # it warns of half-precision constants that it cannot fold
        self._shape = shape
        self._sessions: dict[str, Any] = {
            stage.name: _session(folder / f"{stage.name}.onnx", options) for stage in shape.stages
        }
        self._values: dict[str, Array] = {}

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        """See the protocol."""
        self._values |= {"token_ids": token_ids, "attention_mask": attention_mask}
        self._run(self._shape.instruction)

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        """See the protocol."""
        self._values |= given
        for stage in self._shape.frame:
            with timer.stage(stage.name):
                self._run(stage)
        return self.value("actions")

    def value(self, name: str) -> Array:
        """See the protocol."""
        return self._values[name].astype(np.float32)

    def close(self) -> None:
        """See the protocol."""
        self._sessions.clear()
        self._values.clear()

    def _run(self, stage: StageShape) -> None:
        session = self._sessions[stage.name]
        feed: dict[str, Array] = {
            entry.name: self._values[entry.name].astype(_DTYPES[entry.type], copy=False)
            for entry in session.get_inputs()
        }
        self._values |= dict(zip(stage.outputs, session.run(list(stage.outputs), feed), strict=True))


def _session(graph: Path, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(graph), options)
    except Exception as error:  # its own errors have no common class but this
        raise GraphLoadError(f"{graph}: ONNX Runtime cannot load it: {error}") from error
