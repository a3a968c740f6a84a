"""How a network is going to run: device, precision, threads, and whether the memory suffices for it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from svam_ros.artifacts.manifest import Manifest
from svam_ros.artifacts.network_loading import count_weights
from svam_ros.parameters import DeviceMemoryName, DeviceName, DtypeName
from svam_ros.profiling.memory import available_bytes, resident_peak_bytes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

LARGE_NETWORK = 100_000_000
"""Weights from which a network is worth all cores and the half-size formats. Below, the calls cost more
than the arithmetic: ``tiny`` is slower in bfloat16 than in single precision, and on two threads than on one.
"""

PEAK_PER_WEIGHT_BYTE = 1.3
"""Memory that the process takes at most in sizes of the weights, from start to actions, for a network of
full size; a test holds it.
"""

PEAK_BESIDES_BYTES = 100_000_000
"""What a network of any size takes besides: the activations of a small one, and room for other kernels
than those the limit was measured with.
"""


class DeviceError(ValueError):
    """The device or the precision is not there, or memory is short; the text says what is and what to do."""


@dataclass(frozen=True)
class RunPlan:
    """Everything that is decided before the first weight is read."""

    model_name: str
    weights: int
    """How many."""
    device: torch.device
    dtype_name: DtypeName
    """Never ``auto``."""
    threads: int
    device_memory: DeviceMemoryName = "torch"
    """Whose the memory and the streams are, on a GPU."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it; of int8 that of the layers which stay out of it."""
        if self.dtype_name == "int8":
            return torch.float16 if self.device.type == "cuda" else torch.float32
        return DTYPES[self.dtype_name]

    @property
    def weights_bytes(self) -> int:
        """Size of the weights in this precision."""
        return self.weights * self.dtype.itemsize

    @property
    def needed_bytes(self) -> float:
        """Memory that the run takes at most."""
        return self.weights_bytes * PEAK_PER_WEIGHT_BYTE + PEAK_BESIDES_BYTES

    def describe(self) -> str:
        """What is about to run and what memory it takes, in one line."""
        free = _free_bytes(self.device)
        return (
            f"{self.model_name}: {self.weights / 1e6:,.0f} M weights in {self.dtype_name} on "
            f"{self.device.type}, {self.weights_bytes / 1e9:.2f} GB; takes up to "
            f"{self.needed_bytes / 1e9:.2f} GB of memory"
            + ("" if free is None else f", {free / 1e9:.1f} GB are free")
        )

    def figures(self) -> dict[str, object]:
        """For a report."""
        return {
            "device": self.device.type,
            "dtype": self.dtype_name,
            "threads": self.threads,
            "device_memory": self.device_memory,
            "weights": self.weights,
            "weights_bytes": self.weights_bytes,
        }

    def per_weight_byte(self, peak_bytes: int | None) -> float | None:
        """Memory in sizes of the weights: the figure that :data:`PEAK_PER_WEIGHT_BYTE` limits."""
        return None if peak_bytes is None else peak_bytes / self.weights_bytes

    def peak_memory_bytes(self) -> int | None:
        """The most memory that this process has had on the device so far."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return resident_peak_bytes()


def plan_run(
    manifest: Manifest,
    device: DeviceName,
    dtype: DtypeName,
    threads: int,
    device_memory: DeviceMemoryName = "torch",
) -> RunPlan:
    """Decide how a model runs, and refuse one that would be killed for its memory.

    Args:
        manifest: the model's.
        device: where it runs.
        dtype: in which precision. ``auto`` is the fastest that stays inside the accuracy table: on a GPU
            float16, eight times as fine as bfloat16 at the same speed; on a CPU bfloat16 for a large
            network if the processor multiplies in it (AMX or AVX-512 BF16), else float32.
        threads: on the CPU; 0 means every core of this process for a large network and one for a small.
        device_memory: whose memory and streams an engine uses that can use others than torch's.

    Raises:
        DeviceError: torch sees no such device, or it has less free memory than the run takes.
    """
    place = _device(device)
    weights = count_weights(manifest.config)
    large = weights >= LARGE_NETWORK
    if dtype == "auto" and place.type == "cuda":
        dtype = "float16"
    elif dtype == "auto":
        dtype = "bfloat16" if large and multiplies_bfloat16() else "float32"
    threads = threads or (len(os.sched_getaffinity(0)) if large else 1)
    plan = RunPlan(manifest.name, weights, place, dtype, threads, device_memory)
    advice = "choose a half-size dtype, a smaller model or another machine"
    require_memory(f"{manifest.name} in {dtype}", plan.needed_bytes, place, advice)
    return plan


def require_memory(what: str, needed_bytes: float, device: torch.device, advice: str) -> None:
    """Refuse what would be killed for its memory.

    Raises:
        DeviceError: less than that is free; it says what takes so much, and what to do.
    """
    free = _free_bytes(device)
    if free is not None and needed_bytes > free:
        raise DeviceError(
            f"{what} takes up to {needed_bytes / 1e9:.1f} GB of memory, "
            f"{device.type} has {free / 1e9:.1f} GB free: {advice}"
        )


def _device(name: DeviceName) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        reason = "this torch is built without CUDA" if torch.version.cuda is None else "no driver answers"
        raise DeviceError(f"there is no device 'cuda' here ({reason}): use device 'cpu'")
    return torch.device(name)


def _free_bytes(device: torch.device) -> int | None:
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_bytes()


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 (AMX or AVX-512 BF16)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
