"""Which machine and which versions a figure was measured with: no figure is worth much without."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

NAMED_VERSIONS = (
    "svam_ros",
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "mujoco",
    "ruckig",
    "rclpy",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
)
"""Distributions whose versions can change a figure."""


@dataclass(frozen=True)
class Machine:
    """The computer."""

    cpu: str
    cores: int
    """Logical cores that this process may use."""
    memory_gib: float | None
    gpu: str | None
    """Name of the first CUDA device as its driver gives it; ``None`` without one."""
    os: str


def read_machine() -> Machine:
    """Describe this computer without importing anything heavy."""
    return Machine(cpu=_cpu(), cores=_cores(), memory_gib=_memory_gib(), gpu=_gpu(), os=_os())


def read_versions() -> dict[str, str]:
    """Python's version and those of the installed distributions of :data:`NAMED_VERSIONS`."""
    versions = {"python": platform.python_version()}
    found = {name: _version(name) for name in NAMED_VERSIONS}
    versions.update({name: version for name, version in found.items() if version is not None})
    versions.setdefault("svam_ros", "source checkout")
    return versions


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: respects taskset and containers
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _gpu() -> str | None:
    """What ``nvidia-smi`` says: it comes with every driver, and torch is not needed to ask it."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    names = answer.stdout.strip().splitlines()
    return names[0].strip() if names else None


def _os() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())
    except OSError:
        return platform.platform()
