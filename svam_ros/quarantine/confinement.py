"""What the process may still do once its libraries are loaded: read one file, write one file."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

HARMLESS_EVENTS = frozenset(
    {
        "pickle.find_class",
        "object.__getattr__",
        "object.__setattr__",
        "object.__delattr__",
        "sys._getframe",
        "builtins.id",
    }
)
"""Audit events that neither start anything nor touch anything outside this process's memory."""

MEMORY_BESIDE_THE_FILE = 4 * 2**30
PROCESSOR_SECONDS = 3600
OPEN_FILES = 64


class ForbiddenEvent(BaseException):
    """Something was tried that reading tensors does not need."""


def confine(source: Path, output: Path) -> None:
    """Limit this process for the rest of its life. Cannot be undone.

    Args:
        source: the only file that may be opened for reading.
        output: the only file that may be written.
    """
    _limit_resources(source.stat().st_size)
    sys.addaudithook(_hook(os.path.realpath(source), os.path.realpath(output)))


def _limit_resources(source_bytes: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CPU: PROCESSOR_SECONDS,
        # tensors take no more room than the file they come from, their names a little
        resource.RLIMIT_FSIZE: source_bytes + 2**24,
        resource.RLIMIT_AS: _address_space() + 3 * source_bytes + MEMORY_BESIDE_THE_FILE,
    }
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (value, value))


def _address_space() -> int:
    """Bytes of address space in use: the libraries, mostly."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux
        return 32 * 2**30
    return pages * resource.getpagesize()


def _hook(source: str, output: str) -> Callable[[str, tuple[object, ...]], None]:
    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in HARMLESS_EVENTS:
            return
        if event == "open" and _may_open(arguments, source, output):
            return
        shown = ", ".join(repr(argument)[:80] for argument in arguments)
        raise ForbiddenEvent(f"it tried '{event}' with ({shown})")

    return refuse


def _may_open(arguments: tuple[object, ...], source: str, output: str) -> bool:
    path, _mode, flags = arguments
    if not isinstance(path, (str, bytes)) or not isinstance(flags, int):
        return False
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    return os.path.realpath(os.fsdecode(path)) == (output if writes else source)
