"""What this device can do at most, measured on the spot: no data sheet knows who else is using it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

REPEATS = 5
"""The fastest of so many counts: nothing runs faster than a device can, only slower."""


@dataclass(frozen=True)
class DeviceRoof:
    """The best that a large product of matrices and a large copy reached."""

    flop_per_s: float
    bytes_per_s: float
    """Read and written together."""
    bytes_per_number: int
    """Of the precision that it was measured in."""


def measure_roof(device: torch.device, dtype: torch.dtype, threads: int) -> DeviceRoof:
    """Multiply two large matrices and copy a large block; takes about a second on a CPU.

    Args:
        device: which.
        dtype: in which precision.
        threads: CPU threads, for the whole process.
    """
    torch.set_num_threads(threads)
    on_gpu = device.type == "cuda"
    side, block = (8192, 2**30) if on_gpu else (1024, 2**27)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product_s = _fastest_s(lambda: left @ right, on_gpu=on_gpu)
    source = torch.ones(block // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    copy_s = _fastest_s(lambda: target.copy_(source), on_gpu=on_gpu)
    return DeviceRoof(2 * side**3 / product_s, 2 * block / copy_s, dtype.itemsize)


def _fastest_s(run: Callable[[], object], *, on_gpu: bool) -> float:
    """Seconds; on a GPU by its own clock."""
    run()
    if not on_gpu:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
        return min(times)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(REPEATS):
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return min(times)
