"""How much memory this process had at most, and how much this machine can still give."""

from __future__ import annotations

from pathlib import Path

_KIB = 1024


def resident_peak_bytes() -> int | None:
    """The most memory that this process ever had resident; mapped files count. ``None`` without Linux.

    Not ``getrusage``: what it says of a process includes the process that started it.
    """
    return _entry(Path("/proc/self/status"), "VmHWM")


def available_bytes() -> int | None:
    """Memory that can be had without swapping, in this container. ``None`` without Linux."""
    machine = _entry(Path("/proc/meminfo"), "MemAvailable")
    group = _control_group_bytes(Path("/sys/fs/cgroup"))
    return min((size for size in (machine, group) if size is not None), default=None)


def _entry(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * _KIB
    return None


def _control_group_bytes(folder: Path) -> int | None:
    """What is left of a container's limit; pages of files do not count, as they can be dropped."""
    try:
        limit = (folder / "memory.max").read_text(encoding="utf-8").strip()
        statistics = (folder / "memory.stat").read_text(encoding="utf-8")
    except OSError:
        return None
    anonymous = next((line for line in statistics.splitlines() if line.startswith("anon ")), None)
    if limit == "max" or anonymous is None:
        return None
    return max(int(limit) - int(anonymous.split()[1]), 0)
