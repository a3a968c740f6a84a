"""What makes a process be run in time: memory that is never paged out, priority, a core of its own.

All optional: what is not granted is said, and the process goes on without.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

from svam_ros.parameters import RealTimeParameters

_MCL_CURRENT, _MCL_FUTURE = 1, 2


def apply_real_time(wanted: RealTimeParameters) -> str:
    """Ask Linux for it; says what was granted and what was not, nothing where nothing was wanted."""
    asked = (_memory(wanted.lock_memory), _priority(wanted.fifo_priority), _core(wanted.cpu_core))
    return "; ".join(sentence for sentences in asked for sentence in sentences)


def _memory(wanted: bool) -> Iterator[str]:
    if not wanted:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0:
        yield "memory is locked"
        return
    reason = os.strerror(ctypes.get_errno())
    yield f"memory is not locked ({reason}): raise the limit 'memlock' in /etc/security/limits.conf"


def _priority(wanted: int) -> Iterator[str]:
    if not wanted:
        return
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(wanted))
        yield f"SCHED_FIFO with priority {wanted}"
    except OSError as error:
        yield f"no SCHED_FIFO ({error.strerror}): raise the limit 'rtprio' in /etc/security/limits.conf"


def _core(wanted: int) -> Iterator[str]:
    if wanted < 0:
        return
    try:
        os.sched_setaffinity(0, {wanted})
        yield f"on core {wanted}"
    except OSError as error:
        there = ", ".join(str(core) for core in sorted(os.sched_getaffinity(0)))
        yield f"not on core {wanted} ({error.strerror}): there are {there}"
