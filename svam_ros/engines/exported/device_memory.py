"""Memory, streams and a stopwatch on a GPU: the little that an engine wants of whoever owns the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
    """One device with two streams on it. Another owner than torch keeps the same promises."""

    captures: bool
    """Whether :meth:`recorded` makes a CUDA graph: then no launch may allocate."""

    @property
    def stream(self) -> int:
        """Handle of the stream to launch on: the first, or within :meth:`beside` the second."""

    def tensor(self, shape: tuple[int, ...], dtype: str) -> DeviceTensor:
        """Memory for a tensor; ``dtype`` by numpy's name, or ``bfloat16``."""

    def scratch(self, size_bytes: int) -> int:
        """Address of memory that only the device uses, aligned to 256 bytes; kept until this is closed."""

    def recorded(self, launch: Callable[[], None]) -> Callable[[], None]:
        """What launches the same again, on the first stream.

        ``launch`` is called once as it is, and may be called again to capture it as a CUDA graph. The marks
        that its last call made are passed anew whenever the result is called.
        """

    def beside(self) -> AbstractContextManager[None]:
        """What is launched within runs on the second stream, after what was launched on the first so far."""

    def join(self) -> None:
        """What is launched on the first stream from now on runs after all that was launched on the second."""

    def mark(self) -> Any:
        """A point in time on the stream that is launched on."""

    def elapsed_ms(self, begin: Any, end: Any) -> float:
        """Between two marks, both of which the stream has passed."""

    def wait(self) -> None:
        """Until the first stream has nothing left to do."""

    def close(self) -> None:
        """Wait for both streams, and give back what is still held; nothing of it is used afterwards."""


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
        self._copied = torch.cuda.Event()
        self.address = self.value.data_ptr()

    def write(self, array: Array) -> None:
        self._copied.synchronize()  # the copy before may still be reading the host's memory
        self._host.copy_(torch.from_numpy(np.ascontiguousarray(array)))
        with torch.cuda.stream(self._stream):
            self.value.copy_(self._host, non_blocking=True)
        self._copied.record(self._stream)

    def read(self) -> Array:
        with torch.cuda.stream(self._stream):
            self._host.copy_(self.value, non_blocking=True)
        self._stream.synchronize()
        return self._host.float().numpy().copy()


class TorchDeviceMemory:
    """See :class:`TorchMemory`; torch's allocator, and streams of our own on its primary context."""

    captures = True

    def __init__(self) -> None:
        # The second stream's work is awaited late: it is to take what the first one leaves free.
        self._first, self._second = torch.cuda.Stream(priority=-1), torch.cuda.Stream()
        self._current = self._first
        self._scratch: list[torch.Tensor] = []

    @property
    def stream(self) -> int:
        """See the protocol."""
        return int(self._current.cuda_stream)

    def tensor(self, shape: tuple[int, ...], dtype: str) -> TorchTensor:
        """See the protocol."""
        return _PinnedTensor(shape, _TORCH_DTYPES[dtype], self._first)

    def scratch(self, size_bytes: int) -> int:
        """See the protocol."""
        self._scratch.append(torch.empty(max(1, size_bytes), dtype=torch.uint8, device="cuda"))
        return self._scratch[-1].data_ptr()

    def recorded(self, launch: Callable[[], None]) -> Callable[[], None]:
        """See the protocol."""
        with torch.cuda.stream(self._first):
            launch()
        self.wait()
        graph = torch.cuda.CUDAGraph()
        _capture(graph, self._first, launch)

        def replay() -> None:
            with torch.cuda.stream(self._first):
                graph.replay()

        return replay

    @contextmanager
    def beside(self) -> Iterator[None]:
        """See the protocol; in a capture the second stream becomes a branch of the graph."""
        self._second.wait_stream(self._first)
        self._current = self._second
        try:
            with torch.cuda.stream(self._second):
                yield
        finally:
            self._current = self._first

    def join(self) -> None:
        """See the protocol."""
        self._first.wait_stream(self._second)

    def mark(self) -> torch.cuda.Event:
        """See the protocol."""
        # An external event is a node of the graph that is captured, and has a time after every replay.
        event = torch.cuda.Event(enable_timing=True, external=True)
        event.record(self._current)
        return event

    def elapsed_ms(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """See the protocol."""
        return float(begin.elapsed_time(end))

    def wait(self) -> None:
        """See the protocol."""
        self._first.synchronize()

    def close(self) -> None:
        """See the protocol."""
        self._first.synchronize()
        self._second.synchronize()
        self._scratch.clear()


def _capture(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, launch: Callable[[], None]) -> None:
    """What ``launch`` raises is raised here: ending a capture that it broke off says only that it was."""
    before = torch.cuda.current_stream()
    failure: Exception | None = None
    try:
        with torch.cuda.graph(graph, stream=stream):
            try:
                launch()
            except Exception as error:
                failure = error
    except RuntimeError as error:
        raise (failure or error) from None
    finally:
        torch.cuda.set_stream(before)
    if failure is not None:
        raise failure
