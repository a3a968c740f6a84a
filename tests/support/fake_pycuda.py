"""What is used of ``pycuda.driver``, on a GPU that is not there (``fake_gpu``).

Whatever is asked of it without its context being current fails, as there. Copies and streams are not late.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from support.fake_gpu import FakeGpu


class FakePycuda:
    """Stands where ``pycuda.driver`` would."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.contexts: list[str] = []
        self.order: list[tuple[str, int]] = []
        """What streams were told: launches are the GPU's to note."""
        self.Context = SimpleNamespace(pop=self.contexts.pop)
        self.Device, self.Stream, self.Event = self.make_device, self.make_stream, self.make_event
        self._streams = 0
        self.allocations: list[_Allocation] = []
        gpu.contexts = self.contexts

    def init(self) -> None:
        """Nothing to do."""

    def make_device(self, number: int) -> Any:
        assert number == 0
        context = SimpleNamespace(push=lambda: self.contexts.append("primary"), detach=self._detach)
        return SimpleNamespace(retain_primary_context=lambda: context)

    def make_stream(self) -> Any:
        self._check()
        self._streams += 1
        return _Stream(self, self._streams)

    def make_event(self) -> Any:
        self._check()
        return _Event(self)

    def mem_alloc(self, size_bytes: int) -> Any:
        self._check()
        self.allocations.append(_Allocation(self, size_bytes))
        return self.allocations[-1]

    def pagelocked_zeros(self, shape, dtype) -> np.ndarray:
        self._check()
        return np.zeros(shape, dtype)

    def memcpy_htod_async(self, target, source, _stream) -> None:
        self._check()
        self.gpu.arrays[int(target)][...] = source.reshape(-1).view(np.uint8)

    def memcpy_dtoh_async(self, target, source, _stream) -> None:
        self._check()
        target.reshape(-1).view(np.uint8)[...] = self.gpu.arrays[int(source)]

    def _detach(self) -> None:
        self._check()
        assert not self.allocations, "memory is still held"
        self.contexts.pop()

    def _check(self) -> None:
        assert self.contexts, "no context is current"


class _Allocation:
    def __init__(self, cuda: FakePycuda, size_bytes: int) -> None:
        self._cuda, self._array = cuda, np.zeros(size_bytes, np.uint8)
        cuda.gpu.arrays[int(self)] = self._array

    def __int__(self) -> int:
        return self._array.ctypes.data

    def free(self) -> None:
        self._cuda._check()
        del self._cuda.gpu.arrays[int(self)]
        self._cuda.allocations.remove(self)


class _Stream:
    def __init__(self, cuda: FakePycuda, handle: int) -> None:
        self._cuda, self.handle = cuda, handle

    def synchronize(self) -> None:
        self._cuda._check()

    def wait_for_event(self, event: _Event) -> None:
        self._cuda._check()
        self._cuda.order.append((f"waits for {event.stream.handle}", self.handle))


class _Event:
    def __init__(self, cuda: FakePycuda) -> None:
        self._cuda, self.stream, self._ms = cuda, None, 0.0

    def record(self, stream: _Stream) -> _Event:
        self._cuda._check()
        self.stream, self._ms = stream, self._cuda.gpu.clock_ms
        return self

    def synchronize(self) -> None:
        self._cuda._check()

    def time_since(self, other: _Event) -> float:
        self._cuda._check()
        return self._ms - other._ms
