"""What one run holds in shared memory, written down where it lies, so that the next run can clean up.

Whoever is killed with SIGKILL leaves its Fast DDS segments (34 MB each with our profile) in ``/dev/shm``
until the machine is started anew. Which of the files there nobody uses cannot be told from ``/proc`` alone: a
program in another container may have them open. So every run of ours keeps a record of its own, locked for
as long as any of its processes lives, in whatever container; a record that can be locked is a dead run's.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from svam_ros.bringup import shared_memory

RECORD_PREFIX = "svam_ros_run_"

_SEGMENT_NAME = re.compile(r"(sem\.)?fastdds_\w+")


class RunRecord:
    """The record of this run; closing it deletes it.

    Raises:
        OSError: shared memory cannot be written to.
    """

    def __init__(self) -> None:
        self.descriptor, path = tempfile.mkstemp(prefix=RECORD_PREFIX, dir=shared_memory.SHARED_MEMORY)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self._path = Path(path)
        self._noted: set[str] = set()

    def note(self, pids: Iterable[int]) -> None:
        """Write down which segments these processes hold now, those noted before too."""
        held = {path.name for path in shared_memory.segments_of(pids)} - self._noted
        if held:
            self._noted |= held
            os.write(self.descriptor, "".join(f"{name}\n" for name in sorted(held)).encode())

    def close(self) -> None:
        """The run has cleaned up after itself."""
        self._path.unlink(missing_ok=True)
        os.close(self.descriptor)


def remove_what_dead_runs_left() -> int:
    """Delete the segments that runs of this user wrote down and no process uses, and their records.

    A record stays as long as someone else still reads one of its segments: a later look removes both.

    Returns:
        How many segments were deleted.
    """
    removed = 0
    for path in shared_memory.SHARED_MEMORY.glob(f"{RECORD_PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # Another user's, or another's clean-up was quicker.
        try:
            if os.fstat(descriptor).st_uid == os.getuid() and _is_dead(descriptor):
                with os.fdopen(os.dup(descriptor), encoding="utf-8", errors="replace") as record:
                    names = [name for name in record.read().split() if _SEGMENT_NAME.fullmatch(name)]
                removed += shared_memory.remove_abandoned_segments(only=_with_companions(names))
                if not _some_are_left(names):
                    path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return removed


def _is_dead(descriptor: int) -> bool:
    """Whether no process of the run that wrote the record lives."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _some_are_left(names: Iterable[str]) -> bool:
    """Whether a segment that only this run can have made is still there; ports are everybody's."""
    return any("port" not in name and (shared_memory.SHARED_MEMORY / name).exists() for name in names)


def _with_companions(names: Iterable[str]) -> frozenset[Path]:
    """Each segment, its lock (``<name>_el``) and its mutex (``sem.<name>_mutex``)."""
    bare = {name.removeprefix("sem.").removesuffix("_mutex").removesuffix("_el") for name in names}
    return frozenset(
        shared_memory.SHARED_MEMORY / companion
        for name in bare
        for companion in (name, f"{name}_el", f"sem.{name}_mutex")
    )
