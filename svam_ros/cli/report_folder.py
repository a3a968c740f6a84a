"""The folder of one demo's report: ours for the run, and emptied only of what a demo writes."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from svam_ros import graph

LOCK_NAME = ".lock"
"""Locked as long as a demo writes here; the kernel unlocks it when the demo ends, however it ends. The file
stays: whoever deleted it could let two demos lock two files of the same name."""

LOGS_NAME = "logs"

_PART = r"((\.[0-9a-f]{8})?\.part)?"
"""What a killed writer leaves, see :mod:`svam_ros.whole_files`; and the recorder, without the number."""
_OWN_FILE = re.compile(rf"(report\.(json|html)|trace\.json|episode_\d{{4}}\.mcap){_PART}")
_NODES = "|".join((graph.GUARD_NODE, graph.POLICY_NODE, graph.SIMULATION_NODE))
_OWN_LOG = re.compile(rf"({_NODES})\.(log|parameters\.yaml)|black_box_\w+\.(mcap|svg){_PART}")


class ReportFolderError(ValueError):
    """The report cannot go where it was asked to."""


@contextmanager
def claim_report_folder(wanted: Path, movable: bool) -> Iterator[Path]:
    """An empty folder that no other demo writes to, until the block ends.

    Only files with the names that a demo gives are deleted from it.

    Args:
        wanted: where the report should go; made if it is missing.
        movable: where another demo writes there, take ``<wanted>-2``, ``-3``, ... instead of refusing.

    Raises:
        ReportFolderError: the folder holds something else, cannot be written to, or another demo writes
            there.
    """
    if wanted == Path():
        raise ReportFolderError("the report needs a folder of its own, not the one you are in: name one")
    others = (wanted.with_name(f"{wanted.name}-{number}") for number in count(2)) if movable else ()
    for folder in chain((wanted,), others):
        lock = _make_with_lock(folder)
        try:
            if not _try_lock(lock):
                continue
            _empty(folder)
            yield folder
            return
        finally:
            os.close(lock)
    raise ReportFolderError(
        f"another demo is writing to {wanted}: wait for it, or name another folder with --report"
    )


def _make_with_lock(folder: Path) -> int:
    """Make the folder and its lock, where nothing else is in it; the lock's descriptor.

    Raises:
        ReportFolderError: something is, or it cannot be made.
    """
    try:
        if not (folder / LOCK_NAME).exists():
            _files_of_a_demo(folder)  # Before the lock, which would be a file of ours among theirs.
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unusable(folder, error) from error


def _empty(folder: Path) -> None:
    try:
        for path in _files_of_a_demo(folder):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> ReportFolderError:
    """The system's reason without its number."""
    reason = (error.strerror or str(error)).lower()
    return ReportFolderError(
        f"no report can be written to {folder} ({reason}): name a folder that you may write to with --report"
    )


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _files_of_a_demo(folder: Path) -> list[Path]:
    """What an earlier demo left in ``folder``, without its lock.

    Raises:
        ReportFolderError: it is no folder, or something else is in it.
    """
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise ReportFolderError(f"{folder} is a file: name a folder with --report")
    logs = folder / LOGS_NAME
    inside = [path for path in folder.iterdir() if path != logs]
    own = [path for path in inside if path.name == LOCK_NAME or _OWN_FILE.fullmatch(path.name)]
    if logs.is_dir() and not logs.is_symlink():
        written = list(logs.iterdir())
        inside += written
        own += [path for path in written if _OWN_LOG.fullmatch(path.name)]
    elif logs.exists():
        inside.append(logs)
    foreign = sorted(set(inside) - {path for path in own if path.is_symlink() or path.is_file()})
    if foreign:
        raise ReportFolderError(
            f"{folder} holds something else than a report ({foreign[0].relative_to(folder)}), nothing was "
            f"deleted: name another folder with --report"
        )
    return [path for path in own if path.name != LOCK_NAME]
