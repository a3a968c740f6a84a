"""What processes hold on to: memory, file descriptors, shared memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from svam_ros.bringup.shared_memory import segments

LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Footprint:
    """Of one process at one moment.

    Only what is its own. Fast DDS keeps the segments of neighbours that were killed mapped, for as long as a
    process lives that once read from them (``svam_ros/bringup/shared_memory.py``), and a soak kills some.
    """

    at_s: float
    pid: int
    memory_mb: float
    """Resident, without files and shared memory."""
    descriptors: int
    segments: int
    """In shared memory, that it owns."""

    @classmethod
    def of(cls, pid: int, at_s: float) -> Footprint:
        """Now."""
        process = psutil.Process(pid)
        memory = process.memory_info()
        return cls(at_s, pid, (memory.rss - memory.shared) / 1e6, process.num_fds(), _owned_segments(pid))


def _owned_segments(pid: int) -> int:
    """Fast DDS locks a file beside each segment and port of its own, for as long as its process lives."""
    locked = {
        int(inode.rpartition(":")[2])
        for _number, kind, _mode, _access, owner, inode, *_range in map(str.split, LOCKS.open())
        if kind == "FLOCK" and owner == str(pid)
    }
    return len({path.stat().st_ino for path in segments() if path.name.endswith("_el")} & locked)


WARM_UP_S = 120.0
"""Caches fill: what is held by then is no leak."""
MOST_MB_AN_HOUR = 5.0
MOST_DESCRIPTORS = 2
MOST_SEGMENTS = 0
LEAST_S = 300.0
"""A slope over less says nothing."""


def growth(footprints: list[Footprint]) -> tuple[str, list[str]]:
    """A sentence about one process, and what of it is too much."""
    first_s = footprints[0].at_s
    warm = [f for f in footprints if f.at_s - first_s >= WARM_UP_S]
    if len(warm) < 3 or warm[-1].at_s - warm[0].at_s < LEAST_S:
        return "did not live long enough to tell", []
    hours = np.array([f.at_s for f in warm]) / 3600.0
    slope = float(np.polyfit(hours, [f.memory_mb for f in warm], 1)[0])
    descriptors = warm[-1].descriptors - warm[0].descriptors
    shared = warm[-1].segments - warm[0].segments
    figures = {
        f"{slope:.1f} MB an hour": slope > MOST_MB_AN_HOUR,
        f"{descriptors} descriptors": descriptors > MOST_DESCRIPTORS,
        f"{shared} segments": shared > MOST_SEGMENTS,
    }
    minutes = (warm[-1].at_s - warm[0].at_s) / 60.0
    sentence = f"{warm[-1].memory_mb:.0f} MB; in {minutes:.0f} minutes {', '.join(figures)}"
    return sentence, [figure for figure, too_much in figures.items() if too_much]
