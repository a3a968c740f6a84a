"""Whether others reach this process through shared memory.

Fast DDS gives every participant a port in shared memory: a file, and a lock beside it that says that its
owner lives. A node that is started anew after kill -9 gets the old one's port, and neighbours that still send
to the old one delete it when they look between its creation and its locking. Fast DDS does not notice: others
find the node and send, and it hears nothing, ever
(https://github.com/eProsima/Fast-DDS/pull/4728 describes it; seen in 1 of about 50 such starts).
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

    Of a process with one participant.
    """
    opened, mapped = _open_files().values(), _mapped_files()
    sends = any(_SEGMENT_LOCK.fullmatch(path) for path in opened)
    ports = [match for match in map(_PORT_LOCK.fullmatch, opened) if match]
    found = [int(port[2]) for port in ports if port[1] in mapped]
    return sends and not any(number >= _LOWEST_OWN_PORT for number in found)


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
