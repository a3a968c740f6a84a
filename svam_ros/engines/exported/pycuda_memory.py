"""Memory, streams and a stopwatch on a GPU whose owner is pycuda, for those who run kernels of their own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from svam_ros.engines.exported.device_memory import DeviceTensor
from svam_ros.engines.exported.graph_backend import Array


class PycudaDeviceMemory:
    """See :class:`svam_ros.engines.exported.device_memory.DeviceMemory`.

    It works in the device's primary context, which torch and TensorRT use too, and leaves whatever context
    was current as it was: ``pycuda.autoinit`` would make another one, in which none of their memory is known.
    pycuda cannot capture CUDA graphs: every pass launches its stages anew. What is allocated is freed by
    :meth:`close` while the context is current: pycuda loses what it is to free in another thread.

    Raises:
        ImportError: pycuda is not installed; the text says how to install it.
    """

    captures = False

    def __init__(self) -> None:
        try:
            self._cuda = importlib.import_module("pycuda.driver")
        except ImportError as error:
            raise ImportError(
                f"device memory 'pycuda' needs pycuda ({error}), which is compiled against the CUDA toolkit "
                f"when it is installed: pip install 'svam_ros[pycuda]'"
            ) from error
        self._cuda.init()
        self._context = self._cuda.Device(0).retain_primary_context()
        with self.current():
            self._first, self._second = self._cuda.Stream(), self._cuda.Stream()
        self._launching = self._first
        self._frees: list[Callable[[], None]] = []

    @property
    def stream(self) -> int:
        """See the protocol."""
        return int(self._launching.handle)

    def tensor(self, shape: tuple[int, ...], dtype: str) -> DeviceTensor:
        """See the protocol; ``bfloat16`` is not a type of numpy, and refused with a TypeError."""
        with self.current():
            tensor = _PycudaTensor(self._cuda, self._first, self.current, shape, np.dtype(dtype))
            self._frees.append(tensor.free)
        return tensor

    def scratch(self, size_bytes: int) -> int:
        """See the protocol."""
        with self.current():
            allocation = self._cuda.mem_alloc(max(1, size_bytes))
            self._frees.append(allocation.free)
        return int(allocation)

    def recorded(self, launch: Callable[[], None]) -> Callable[[], None]:
        """See the protocol."""

        def launch_here() -> None:
            with self.current():
                launch()

        launch_here()
        self.wait()
        return launch_here

    @contextmanager
    def beside(self) -> Iterator[None]:
        """See the protocol."""
        with self.current():
            self._second.wait_for_event(self._cuda.Event().record(self._first))
            self._launching = self._second
            try:
                yield
            finally:
                self._launching = self._first

    def join(self) -> None:
        """See the protocol."""
        with self.current():
            self._first.wait_for_event(self._cuda.Event().record(self._second))

    def mark(self) -> Any:
        """See the protocol."""
        with self.current():
            return self._cuda.Event().record(self._launching)

    def elapsed_ms(self, begin: Any, end: Any) -> float:
        """See the protocol."""
        with self.current():
            return float(end.time_since(begin))

    def wait(self) -> None:
        """See the protocol."""
        with self.current():
            self._first.synchronize()

    def close(self) -> None:
        """See the protocol."""
        self._context.push()
        self._first.synchronize()
        self._second.synchronize()
        for free in self._frees:
            free()
        self._frees.clear()
        del self._first, self._second, self._launching
        self._context.detach()  # ends its being current too

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within, the primary context is."""
        self._context.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()


class _PycudaTensor:
    def __init__(
        self,
        cuda: Any,
        stream: Any,
        current: Callable[[], AbstractContextManager[None]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._cuda, self._stream, self._current = cuda, stream, current
        # Copies from memory that the system may move are made twice, and block the host.
        self._host = cuda.pagelocked_zeros(shape, dtype)
        self._device = cuda.mem_alloc(max(1, self._host.nbytes))
        self._copied = cuda.Event()
        self.address = int(self._device)
        self.write(self._host)

    def free(self) -> None:
        """In the context, once."""
        self._device.free()
        del self._host, self._copied

    def write(self, array: Array) -> None:
        with self._current():
            self._copied.synchronize()  # the copy before may still be reading the host's memory
            np.copyto(self._host, array, casting="same_kind")
            self._cuda.memcpy_htod_async(self._device, self._host, self._stream)
            self._copied.record(self._stream)

    def read(self) -> Array:
        with self._current():
            self._cuda.memcpy_dtoh_async(self._host, self._device, self._stream)
            self._stream.synchronize()
        return self._host.astype(np.float32)
