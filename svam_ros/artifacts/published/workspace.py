"""A folder beside the future model for everything half made. Nothing outlives the import but the model.

An import that is killed leaves its workspace behind. The lock in it dies with the process, so the next
import into the same place recognises and removes it.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svam_ros.artifacts.published.conversion import PublishedCheckpointError

LOCK = "lock"


@contextmanager
def import_workspace(out: Path) -> Iterator[Path]:
    """A fresh folder on the same file system as ``out``, removed at the end, whatever happens."""
    out.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out.name}.importing."
    for abandoned in out.parent.glob(f"{prefix}*"):
        _remove_if_abandoned(abandoned)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        PublishedCheckpointError: the file system has less room than needed.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise PublishedCheckpointError(
            f"{folder} has {free / 1e9:.1f} GB free, the import needs {needed_bytes / 1e9:.1f} GB"
        )


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another import is at work
    except OSError:
        pass  # killed before it had a lock, or not ours to open: rmtree decides
    shutil.rmtree(folder, ignore_errors=True)
