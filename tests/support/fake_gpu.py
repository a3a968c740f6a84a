"""A GPU that is not there: memory is numpy's, and ONNX Runtime computes what TensorRT would.

Stands in at one place only, where stages are loaded and launched. What is built, compared, published and
verified before is real.
"""

from __future__ import annotations

import hashlib
import weakref
from contextlib import contextmanager
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


_USER_MANAGED = "user managed"
_KERNELS = b"kernels of "


class FakeGpu:
    """Knows the graph of every compiled stage, by the hash of its bytes."""

    def __init__(self) -> None:
        self.graphs: dict[str, bytes] = {}
        self.arrays: dict[int, np.ndarray] = {}
        self.deserialized: list[str] = []
        self.compiled: list[bytes] = []
        """Whose kernels were not in a cache when they were wanted."""
        self.launches: list[str] = []
        self.refuses_to_launch = False
        self.clock_ms = 0.0
        self.scratch: dict[str, int] = {}
        """Where each stage computes, by its first output."""
        self.contexts: list[str] | None = None
        """Those that are current, where launching without one is to fail."""

    def remember(self, graph: Path, engine: Path) -> None:
        """The graph that ``engine`` was compiled from."""
        self.graphs[_digest(engine.read_bytes())] = onnx.load(str(graph)).SerializeToString()

    def tensorrt(self, runtime_cache: bool = True) -> Any:
        """What is used of the ``tensorrt`` module, to run engines; that for RTX has a runtime cache."""
        return SimpleNamespace(
            ILogger=_Logger,
            Runtime=lambda _logger: SimpleNamespace(deserialize_cuda_engine=self._deserialize),
            nptype=lambda dtype: dtype,
            ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED=_USER_MANAGED),
            **({"IRuntimeCache": _RuntimeCache} if runtime_cache else {}),
        )

    def _deserialize(self, blob: bytes) -> Any:
        digest = _digest(blob)
        self.deserialized.append(digest)
        return FakeEngine(self, self.graphs[digest]) if digest in self.graphs else None


class FakeMemory:
    """See ``svam_ros.engines.exported.device_memory.DeviceMemory``. A launch takes a millisecond.

    ``order`` tells what was launched on which stream, between which forks and joins.
    """

    FIRST, SECOND = 7, 8
    captures = True

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu
        self.stream = self.FIRST
        self.order: list[object] = []

    def tensor(self, shape, dtype):
        array = np.zeros(shape, dtype)
        self._gpu.arrays[array.ctypes.data] = array
        return _Tensor(array)

    def scratch(self, size_bytes):
        array = np.zeros(size_bytes, np.uint8)
        self._gpu.arrays[array.ctypes.data] = array
        return array.ctypes.data

    def recorded(self, launch):
        launch()
        noted = weakref.ref(launch)  # a graph keeps nothing alive that it launches

        def replay():
            launched = noted()
            assert launched is not None, "what the graph launches is gone"
            launched()

        return replay

    @contextmanager
    def beside(self):
        self.stream = self.SECOND
        self.order.append("fork")
        try:
            yield
        finally:
            self.stream = self.FIRST

    def join(self):
        self.order.append("join")

    def mark(self):
        self.order.append(self.stream)
        return self._gpu.clock_ms

    def elapsed_ms(self, begin, end):
        return end - begin

    def wait(self):
        pass

    def close(self):
        self.order.append("closed")


class _Tensor:
    def __init__(self, array):
        self._array = array
        self.address = array.ctypes.data
        self.value = torch.from_numpy(array)

    def write(self, array):
        np.copyto(self._array, array, casting="same_kind")

    def read(self):
        return self._array.astype(np.float32)


class _RuntimeConfig:
    """Of an execution context: who allocates, and kernels that are known."""

    def __init__(self):
        self.allocation, self.cache = None, None

    def set_execution_context_allocation_strategy(self, allocation):
        self.allocation = allocation

    def create_runtime_cache(self):
        return _RuntimeCache()

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class _RuntimeCache:
    def __init__(self):
        self.kernels = b""

    def deserialize(self, blob):
        sound = blob.startswith(_KERNELS)
        self.kernels = blob if sound else b""
        return sound

    def serialize(self):
        return self.kernels


class FakeEngine:
    least_scratch_bytes = 1000

    def __init__(self, gpu: FakeGpu, graph: bytes) -> None:
        # The fusion breaks graphs in eight bits, see OnnxRuntimeStage.
        self._session = onnxruntime.InferenceSession(graph, disabled_optimizers=["MatMulAddFusion"])
        self._gpu = gpu
        self._kernels = _KERNELS + _digest(graph).encode()
        entries = (*self._session.get_inputs(), *self._session.get_outputs())
        self._tensors = {entry.name: entry for entry in entries}
        self.num_io_tensors = len(self._tensors)
        self.device_memory_size_v2 = self.least_scratch_bytes + self.num_io_tensors

    def get_tensor_name(self, index):
        return list(self._tensors)[index]

    def get_tensor_shape(self, name):
        return self._tensors[name].shape

    def get_tensor_dtype(self, name):
        return _DTYPES[self._tensors[name].type]

    def create_runtime_config(self):
        return _RuntimeConfig()

    def create_execution_context(self, config):
        if isinstance(config, _RuntimeConfig):
            assert config.allocation == _USER_MANAGED
        else:
            assert config == _USER_MANAGED
        return _ExecutionContext(self, self._gpu, self._session, self._tensors, config)

    def compile_kernels(self, config):
        """At the first launch, as far as they are not in the configuration's cache."""
        if isinstance(config, _RuntimeConfig) and config.cache.kernels != self._kernels:
            self._gpu.compiled.append(self._kernels)
            config.cache.kernels = self._kernels


class _ExecutionContext:
    def __init__(self, engine, gpu, session, tensors, config):
        self._engine, self._config = engine, config
        self._needs_bytes = engine.device_memory_size_v2
        self._gpu, self._session, self._tensors = gpu, session, tensors
        self._addresses: dict[str, int] = {}
        self._scratch = None

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def is_stream_capturable(self, stream):
        return self._scratch is not None and stream == FakeMemory.FIRST

    def set_device_memory(self, address, size):
        assert self._needs_bytes <= size == len(self._gpu.arrays[address])
        self._scratch = address

    def execute_async_v3(self, stream):
        assert isinstance(stream, int)
        assert self._scratch is not None
        assert self._gpu.contexts is None or self._gpu.contexts, "no context is current"
        if self._gpu.refuses_to_launch:
            return False
        self._engine.compile_kernels(self._config)
        arrays = {name: self._array(name) for name in self._tensors}
        feed = {entry.name: arrays[entry.name] for entry in self._session.get_inputs()}
        outputs = [entry.name for entry in self._session.get_outputs()]
        for name, value in zip(outputs, self._session.run(outputs, feed), strict=True):
            arrays[name][...] = value
        self._gpu.clock_ms += 1.0
        self._gpu.launches.append(outputs[0])
        self._gpu.scratch[outputs[0]] = self._scratch
        return True

    def _array(self, name):
        tensor, memory = self._tensors[name], self._gpu.arrays[self._addresses[name]]
        return memory.reshape(-1).view(_DTYPES[tensor.type]).reshape(tensor.shape)


class _Logger:
    ERROR, INTERNAL_ERROR = "error", "internal error"


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
