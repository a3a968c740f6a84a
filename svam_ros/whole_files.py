"""Files that have their old content or all of the new one, whatever ends their writer."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

PART_SUFFIX = ".part"
"""Of a file that is being written, and of what a kill leaves of it."""

_ABANDONED_S = 3600.0
"""Nothing of ours takes so long to write."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the path to write to; at the end what is there replaces ``path`` in one move.

    After an exception in the block ``path`` is as it was, and nothing is left beside it. The name that is
    yielded is nobody else's, since two may write the same file: the later one's content stays. What a killed
    writer left of the same file an hour ago or longer is removed.

    Args:
        path: the file; its folder exists. Where it is a link, what the link leads to is replaced.

    Raises:
        OSError: the disk is full, the folder is not writable, or ``path`` is something else than a file.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise FileExistsError(errno.EEXIST, "is there and no plain file", str(path))
    _remove_abandoned(path)
    part = path.with_name(f"{path.name}.{token_hex(4)}{PART_SUFFIX}")
    try:
        yield part
        write_through(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    with suppress(OSError):  # some file systems sync no folders, and the file is there by now
        write_through(path.parent)


def write_whole_text(path: Path, text: str) -> None:
    """Write a text file in one move.

    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_through(path: Path) -> None:
    """Have a file, or a folder's names, on the disk: a file that a power cut emptied would count as whole.

    Raises:
        OSError: the disk did not take it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    ours = re.compile(rf"{re.escape(path.name)}\.[0-9a-f]{{8}}{re.escape(PART_SUFFIX)}")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _ABANDONED_S:
                os.unlink(entry.path)
