"""What is shown while a demo runs: a live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live

from svam_ros.profiling.stage_table import LiveStatus, live_line

SECONDS_BETWEEN_LINES = 5.0
"""Into a file or a pipe: often enough to see that it goes on."""


class Progress:
    """A context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._next_line_s = time.monotonic() + SECONDS_BETWEEN_LINES

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, status: LiveStatus) -> None:
        """Draw the line anew, or print it where nothing can be drawn and the last one is a while ago."""
        if self._console.is_terminal:
            self._live.update(live_line(status))
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + SECONDS_BETWEEN_LINES
            self._console.print(live_line(status).plain, soft_wrap=True, highlight=False)

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, highlight=False)
