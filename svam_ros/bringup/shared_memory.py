"""Removes Fast DDS shared-memory segments that no process uses any more.

A node that is killed leaves its segments (32 MB each with our profile) in ``/dev/shm``; they stay until
reboot and make later nodes print errors about lock files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - this is POSIX shared memory, not a temporary file


def segments() -> set[Path]:
    """Fast DDS's files in shared memory that belong to this user."""
    if not SHARED_MEMORY.is_dir():
        return set()
    found = [*SHARED_MEMORY.glob("fastdds_*"), *SHARED_MEMORY.glob("sem.fastdds_*")]
    return {path for path in found if _owner(path) == os.getuid()}


def abandoned_segments(left_the_graph: bool = False) -> set[Path]:
    """Segments that no process of this user has mapped or open.

    Args:
        left_the_graph: this process has closed all its nodes, and does not count: Fast DDS keeps the segments
            of killed nodes mapped for as long as the process lives that once read from them.

    A port's mutex (``sem.fastdds_<port>_mutex``) is open only while it is locked: it is in use as long as
    its port is.
    """
    ourselves = {Path("/proc") / str(os.getpid())} if left_the_graph else set()
    in_use = _paths_in_use(set(Path("/proc").glob("[0-9]*")) - ourselves)
    return {path for path in segments() if str(path) not in in_use and str(_locked_by(path)) not in in_use}


def segments_of(pids: Iterable[int]) -> set[Path]:
    """Fast DDS's files in shared memory that these processes have mapped or open."""
    names = (f"{SHARED_MEMORY}/fastdds_", f"{SHARED_MEMORY}/sem.fastdds_")
    used = _paths_in_use(Path("/proc") / str(pid) for pid in pids)
    return {Path(path) for path in used if path.startswith(names)}


def remove_abandoned_segments(
    keep: frozenset[Path] = frozenset(),
    only: frozenset[Path] | None = None,
    left_the_graph: bool = False,
) -> int:
    """Delete abandoned segments, except those in ``keep``.

    Args:
        only: delete no others than these; ``None``: any.
        left_the_graph: see :func:`abandoned_segments`.
        keep: what was there before our processes. A program in another container, with the same user and
            the same ``/dev/shm``, is not in our ``/proc``: its segments look abandoned and are not.

    Returns:
        How many were deleted.
    """
    doomed = abandoned_segments(left_the_graph) - keep
    if only is not None:
        doomed &= only
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


def _locked_by(path: Path) -> Path:
    """The segment that a mutex belongs to; any other path itself."""
    return path.with_name(path.name.removeprefix("sem.").removesuffix("_mutex"))


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return -1


def _paths_in_use(processes: Iterable[Path]) -> set[str]:
    """Files in shared memory that processes, named by their folders in ``/proc``, have mapped or open."""
    used: set[str] = set()
    prefix = str(SHARED_MEMORY)
    for process in processes:
        try:
            for line in (process / "maps").read_text(errors="replace").splitlines():
                start = line.find(prefix)
                if start >= 0:
                    used.add(line[start:].strip())
            used.update(os.readlink(link) for link in (process / "fd").iterdir())
        except OSError:  # noqa: PERF203 - a process that ended meanwhile, or is not ours to look at
            continue
    return used
