"""The stages through ONNX Runtime on a CPU: to check graphs whose own device is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

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


class OnnxRuntimeStage:
    """One graph on a CPU.

    Raises:
        GraphLoadError: the library cannot load it.
    """

    def __init__(self, graph: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # it warns of half-precision constants that it cannot fold
        try:
            # The fusion marks signed eight-bit inputs as unsigned, and then refuses its own graph (1.32.0).
            self._session = onnxruntime.InferenceSession(
                str(graph), options, disabled_optimizers=["MatMulAddFusion"]
            )
        except Exception as error:  # its own errors have no common class but this
            raise GraphLoadError(f"{graph}: ONNX Runtime cannot load it: {error}") from error

    def run(self, values: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """These outputs of what the graph takes, which is among ``values``; numbers are cast to its types."""
        feed: dict[str, Array] = {
            entry.name: values[entry.name].astype(_DTYPES[entry.type], copy=False)
            for entry in self._session.get_inputs()
        }
        made: list[Array] = self._session.run(list(outputs), feed)
        return made


class OnnxRuntimeBackend:
    """See :class:`svam_ros.engines.exported.graph_backend.GraphBackend`.

    Args:
        folder: the ONNX files, one a stage.
        shape: the stages.
        threads: CPU threads.
    """

    def __init__(self, folder: Path, shape: PassShape, *, threads: int = 1) -> None:
        self._shape = shape
        self._stages = {
            stage.name: OnnxRuntimeStage(folder / f"{stage.name}.onnx", threads) for stage in shape.stages
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
        self._stages.clear()
        self._values.clear()

    def values(self) -> dict[str, Array]:
        """All tensors of the last pass, those that were given too, as the graphs have them."""
        return dict(self._values)

    def _run(self, stage: StageShape) -> None:
        made = self._stages[stage.name].run(self._values, stage.outputs)
        self._values |= dict(zip(stage.outputs, made, strict=True))
