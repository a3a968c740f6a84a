"""Whether others reach this process through shared memory.

Fast DDS gives every participant a port in shared memory: a file, and a lock beside it that says that its
owner lives. A node that is started anew after kill -9 gets the old one's port, and neighbours that still send
to the old one delete it when they look between its creation and its locking. Fast DDS does not notice: others
find the node and send, and it hears nothing, ever
(https://github.com/eProsima/Fast-DDS/pull/4728 describes it; seen in 1 of about 50 such starts). A node that
slept for two seconds can lose its port as well: neighbours took it for dead.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_PORT_LOCK = re.compile(r"(/dev/shm/fast(?:dds|rtps)_port(\d+))_el")
_SEGMENT_LOCK = re.compile(r"/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}_el")  # noqa: S108 - the same
_LOCK = re.compile(r"/dev/shm/fast(?:dds|rtps)_\w+( \(deleted\))?")  # noqa: S108 - no temporary file
_LOWEST_OWN_PORT = 7400
"""Of participants' own ports (DDSI-RTPS 2.5, 9.6.2.3); those below are everybody's."""


def port_is_lost() -> bool:
    """Whether this process sends through shared memory, but has no port there that others find.

    Of a process with one participant. Takes milliseconds; :class:`OwnPort` asks again for microseconds.
    """
    sends = any(_SEGMENT_LOCK.fullmatch(path) for path in _open_files().values())
    return sends and not _own_ports()


class OwnPort:
    """The ports that others reach this process through, as they are when this is made."""

    def __init__(self) -> None:
        self._inodes = {path: path.stat().st_ino for path in _own_ports()}

    def is_lost(self) -> bool:
        """Whether one was deleted since, or another made in its place."""
        return any(_inode(path) != inode for path, inode in self._inodes.items())


def _own_ports() -> list[Path]:
    mapped = _mapped_files()
    locks = [match for match in map(_PORT_LOCK.fullmatch, _open_files().values()) if match]
    return [Path(lock[1]) for lock in locks if int(lock[2]) >= _LOWEST_OWN_PORT and lock[1] in mapped]


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def close_shared_memory() -> None:
    """Give up Fast DDS's locks, which Linux would keep for whatever this process becomes next."""
    for descriptor, path in _open_files().items():
        if _LOCK.fullmatch(path):
            os.close(descriptor)


def _open_files() -> dict[int, str]:
    """Paths by file descriptor."""
    paths = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            paths[int(link.name)] = os.readlink(link)
        except OSError:  # noqa: PERF203 - the descriptor with which the folder itself was read
            continue
    return paths


def _mapped_files() -> set[str]:
    """Deleted ones have `` (deleted)`` behind their path."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return {line[line.index("/") :] for line in lines if "/" in line}
