"""A running process's port in shared memory, deleted as neighbours do that take the process for dead."""

from __future__ import annotations

import os
import re
from pathlib import Path

_LOWEST_PARTICIPANT_PORT = 7400


def delete_port(pid: int) -> None:
    """Of the one participant of the process; its lock stays, as it does then."""
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    locks = filter(None, (re.fullmatch(r"(.*_port(\d+))_el", link) for link in links))
    (port,) = (lock[1] for lock in locks if int(lock[2]) >= _LOWEST_PARTICIPANT_PORT)
    Path(port).unlink()
