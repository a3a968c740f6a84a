"""A GPU that is not there: memory is numpy's, and ONNX Runtime computes what TensorRT would.

Stands in at one place only, where ``TensorRtBackend`` talks to the device. What is built, compared, published
and verified before is real.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class FakeGpu:
    """Knows the graph of every compiled stage, by the hash of its bytes."""

    def __init__(self) -> None:
        self.graphs: dict[str, bytes] = {}
        self.arrays: dict[int, np.ndarray] = {}
        self.deserialized: list[str] = []
        self.launches: list[str] = []
        self.refuses_to_launch = False
        self.clock_ms = 0.0

    def remember(self, graph: Path, engine: Path) -> None:
        """The graph that ``engine`` was compiled from."""
        self.graphs[_digest(engine.read_bytes())] = onnx.load(str(graph)).SerializeToString()

    def tensorrt(self) -> Any:
        """What is used of the ``tensorrt`` module, to run engines."""
        return SimpleNamespace(
            ILogger=_Logger,
            Runtime=lambda _logger: SimpleNamespace(deserialize_cuda_engine=self._deserialize),
            nptype=lambda dtype: dtype,
        )

    def _deserialize(self, blob: bytes) -> Any:
        digest = _digest(blob)
        self.deserialized.append(digest)
        return _Engine(self, self.graphs[digest]) if digest in self.graphs else None


class FakeMemory:
    """See ``svam_ros.engines.exported.device_memory.DeviceMemory``. A launch takes a millisecond."""

    stream = 7

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu

    def tensor(self, shape, dtype):
        array = np.zeros(shape, dtype)
        self._gpu.arrays[array.ctypes.data] = array
        return _Tensor(array)

    def recorded(self, launch):
        launch()
        return launch

    def mark(self):
        return self._gpu.clock_ms

    def elapsed_ms(self, begin, end):
        return end - begin

    def wait(self):
        pass


class _Tensor:
    def __init__(self, array):
        self._array = array
        self.address = array.ctypes.data
        self.value = torch.from_numpy(array)

    def write(self, array):
        np.copyto(self._array, array, casting="same_kind")

    def read(self):
        return self._array.astype(np.float32)


class _Engine:
    def __init__(self, gpu: FakeGpu, graph: bytes) -> None:
        # The fusion breaks graphs in eight bits, see OnnxRuntimeStage.
        self._session = onnxruntime.InferenceSession(graph, disabled_optimizers=["MatMulAddFusion"])
        self._gpu = gpu
        entries = (*self._session.get_inputs(), *self._session.get_outputs())
        self._tensors = {entry.name: entry for entry in entries}
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, index):
        return list(self._tensors)[index]

    def get_tensor_shape(self, name):
        return self._tensors[name].shape

    def get_tensor_dtype(self, name):
        return _DTYPES[self._tensors[name].type]

    def create_execution_context(self):
        addresses: dict[str, int] = {}

        def execute(stream):
            assert stream == FakeMemory.stream
            if self._gpu.refuses_to_launch:
                return False
            arrays = {name: self._gpu.arrays[address] for name, address in addresses.items()}
            feed = {entry.name: arrays[entry.name] for entry in self._session.get_inputs()}
            outputs = [entry.name for entry in self._session.get_outputs()]
            for name, value in zip(outputs, self._session.run(outputs, feed), strict=True):
                arrays[name][...] = value
            self._gpu.clock_ms += 1.0
            self._gpu.launches.append(outputs[0])
            return True

        return SimpleNamespace(set_tensor_address=addresses.__setitem__, execute_async_v3=execute)


class _Logger:
    ERROR, INTERNAL_ERROR = "error", "internal error"


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
