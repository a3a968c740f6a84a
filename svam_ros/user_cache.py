"""The folder for what can be made again: engines and compiled kernels."""

from __future__ import annotations

import os
import stat
from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def user_cache(*parts: str) -> Path:
    """``svam_ros`` below the user's cache, or a folder in it, which is made where it is not there yet.

    What lies there is code: only its owner may write there.

    Raises:
        PermissionError: it is another user's, or others may write there; the text says what to do.
        OSError: it cannot be made.
    """
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))  # relative ones are to be ignored, says the standard
    folder = stated if stated.is_absolute() else Path.home() / ".cache"
    for part in ("svam_ros", *parts):
        folder = folder / part
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid() or status.st_mode & WRITABLE_BY_OTHERS:
            raise PermissionError(
                f"{folder} holds code, and others may write there: chmod go-w {folder}, as its owner"
            )
    return folder
