"""Memory, a stream and a stopwatch on a GPU: the little that an engine wants of whoever owns the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from svam_ros.engines.exported.graph_backend import Array

_TORCH_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "bool": torch.bool,
}


class DeviceTensor(Protocol):
    """A piece of memory that stays where it is."""

    address: int

    def write(self, array: Array) -> None:
        """Copy from the host, in order with everything else on the stream."""

    def read(self) -> Array:
        """Wait for the stream, then copy to the host, in single precision."""


class DeviceMemory(Protocol):
    """One device with one stream on it. Another owner than torch keeps the same promises."""

    stream: int
    """Handle of the stream, as the CUDA runtime counts it."""

    def tensor(self, shape: tuple[int, ...], dtype: str) -> DeviceTensor:
        """Memory for a tensor; ``dtype`` by numpy's name, or ``bfloat16``."""

    def recorded(self, launch: Callable[[], None]) -> Callable[[], None]:
        """Launch once, capture the second launch as a CUDA graph, and return what replays it."""

    def mark(self) -> Any:
        """A point in time on the stream."""

    def elapsed_ms(self, begin: Any, end: Any) -> float:
        """Between two marks, both of which the stream has passed."""

    def wait(self) -> None:
        """Until the stream has nothing left to do."""


class TorchTensor(DeviceTensor, Protocol):
    """One that torch can compute with."""

    value: torch.Tensor


class TorchMemory(DeviceMemory, Protocol):
    """A device whose owner is torch."""

    def tensor(self, shape: tuple[int, ...], dtype: str) -> TorchTensor:
        """See :class:`DeviceMemory`."""


class _PinnedTensor:
    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, stream: torch.cuda.Stream) -> None:
        with torch.cuda.stream(stream):  # else it is filled on a stream that this one does not wait for
            self.value = torch.zeros(shape, dtype=dtype, device="cuda")
        # Copies from memory that the system may move are made twice, and block the host.
        self._host = torch.zeros(shape, dtype=dtype, pin_memory=True)
        self._stream = stream
        self.address = self.value.data_ptr()

    def write(self, array: Array) -> None:
        self._stream.synchronize()  # the copy before may still be reading the host's memory
        self._host.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        with torch.cuda.stream(self._stream):
            self.value.copy_(self._host, non_blocking=True)

    def read(self) -> Array:
        with torch.cuda.stream(self._stream):
            self._host.copy_(self.value, non_blocking=True)
        self._stream.synchronize()
        return self._host.float().numpy().copy()


class TorchDeviceMemory:
    """See :class:`TorchMemory`; torch's allocator, and a stream of our own on its primary context."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self.stream: int = self._stream.cuda_stream

    def tensor(self, shape: tuple[int, ...], dtype: str) -> TorchTensor:
        """See the protocol."""
        return _PinnedTensor(shape, _TORCH_DTYPES[dtype], self._stream)

    def recorded(self, launch: Callable[[], None]) -> Callable[[], None]:
        """See the protocol."""
        with torch.cuda.stream(self._stream):
            launch()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            launch()

        def replay() -> None:
            with torch.cuda.stream(self._stream):
                graph.replay()

        return replay

    def mark(self) -> torch.cuda.Event:
        """See the protocol."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._stream)
        return event

    def elapsed_ms(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """See the protocol."""
        return float(begin.elapsed_time(end))

    def wait(self) -> None:
        """See the protocol."""
        self._stream.synchronize()
