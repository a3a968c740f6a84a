"""Writes the guard's black boxes beside its ticks, in a thread that gives way to them."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from svam_ros.recording.black_box_file import BLACK_BOX_PATTERN, BlackBoxRecord, write_black_box
from svam_ros.recording.episode_file import RecordingError
from svam_ros.types import BlackBoxExcerpt

KEPT_FILES = 500
"""In the folder; the oldest make room. A box of ten seconds takes about 100 kB."""
REST_S = 0.005
"""Between portions of a file."""


def black_box_folder(chosen: str) -> Path:
    """``chosen``, or where ROS keeps its logs: below ``ROS_LOG_DIR``, ``ROS_HOME/log`` or ``~/.ros/log``."""
    if chosen:
        return Path(chosen)
    home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
    return Path(os.environ.get("ROS_LOG_DIR") or home / "log") / "svam_black_box"


class BlackBoxWriter:
    """A thread and its queue.

    Args:
        folder: of the files; made when there is one to write.
        joint_names: columns of the arrays.
        profile: name of the robot profile.
        report: called with one sentence for every file written, and for every one that could not be; from
            the thread.
    """

    def __init__(
        self,
        folder: Path,
        joint_names: tuple[str, ...],
        profile: str,
        report: Callable[[str], None],
    ) -> None:
        self._folder, self._joint_names, self._profile = folder, joint_names, profile
        self._report = report
        self._written = 0
        self._closing = threading.Event()
        self._waiting: queue.SimpleQueue[BlackBoxExcerpt | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="black box", daemon=True)
        self._thread.start()

    def write(self, excerpt: BlackBoxExcerpt) -> None:
        """Have ``excerpt`` written soon."""
        self._waiting.put(excerpt)

    def close(self) -> None:
        """Write what waits, without giving way any more, and end."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (excerpt := self._waiting.get()) is not None:
            self._report(self._outcome(excerpt))

    def _outcome(self, excerpt: BlackBoxExcerpt) -> str:
        try:
            path = self._write(excerpt)
        except (RecordingError, OSError) as error:  # The arms must not care.
            return f"black box lost: {error}"
        return f"black box written, read it with: svam blackbox {path}"

    def _write(self, excerpt: BlackBoxExcerpt) -> Path:
        now = datetime.now().astimezone()
        self._written += 1
        name = f"black_box_{now:%Y%m%d_%H%M%S}_{os.getpid()}_{self._written:04d}.mcap"
        record = BlackBoxRecord(excerpt, self._joint_names, self._profile, now.isoformat(timespec="seconds"))
        write_black_box(self._folder / name, record, rest=lambda: self._closing.wait(REST_S))
        for old in sorted(self._folder.glob(BLACK_BOX_PATTERN))[:-KEPT_FILES]:
            old.unlink(missing_ok=True)
        return self._folder / name
