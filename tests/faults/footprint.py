"""What processes hold on to: memory, file descriptors, shared memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import psutil

from svam_ros.bringup.shared_memory import segments


@dataclass(frozen=True)
class Footprint:
    """Of one process at one moment."""

    at_s: float
    pid: int
    resident_mb: float
    descriptors: int
    segments: int
    """In shared memory, of all processes."""

    @classmethod
    def of(cls, pid: int, at_s: float) -> Footprint:
        """Now."""
        process = psutil.Process(pid)
        return cls(at_s, pid, process.memory_info().rss / 1e6, process.num_fds(), len(segments()))


WARM_UP_S = 120.0
"""Caches fill: what is held by then is no leak."""
MOST_MB_AN_HOUR = 5.0
MOST_DESCRIPTORS = 2
MOST_SEGMENTS = 8
"""A robot part that was just started has some of its own."""
LEAST_S = 300.0
"""A slope over less says nothing."""


def growth(footprints: list[Footprint]) -> tuple[str, list[str]]:
    """A sentence about one process, and what of it is too much."""
    first_s = footprints[0].at_s
    warm = [f for f in footprints if f.at_s - first_s >= WARM_UP_S]
    if len(warm) < 3 or warm[-1].at_s - warm[0].at_s < LEAST_S:
        return "did not live long enough to tell", []
    hours = np.array([f.at_s for f in warm]) / 3600.0
    slope = float(np.polyfit(hours, [f.resident_mb for f in warm], 1)[0])
    descriptors = warm[-1].descriptors - warm[0].descriptors
    shared = warm[-1].segments - warm[0].segments
    figures = {
        f"{slope:.1f} MB an hour": slope > MOST_MB_AN_HOUR,
        f"{descriptors} descriptors": descriptors > MOST_DESCRIPTORS,
        f"{shared} segments": shared > MOST_SEGMENTS,
    }
    minutes = (warm[-1].at_s - warm[0].at_s) / 60.0
    sentence = f"{warm[-1].resident_mb:.0f} MB; in {minutes:.0f} minutes {', '.join(figures)}"
    return sentence, [figure for figure, too_much in figures.items() if too_much]
