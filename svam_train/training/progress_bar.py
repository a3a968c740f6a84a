"""One live line with the time that is left; plain lines now and then where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_PLAIN_LINE_EVERY_S = 20.0


class ProgressBar:
    """Counts up to a total; made by :func:`progress_bar`."""

    def __init__(self, console: Console, progress: Progress, total: int, done: int) -> None:
        self._console = console
        self._progress = progress
        self._task = progress.add_task("", total=total, completed=done)
        self._total = total
        self._done = self._first = done
        self._started = self._last_line = time.monotonic()

    def show(self, text: str, advance: int = 1) -> None:
        """Move on by ``advance`` and say what happened last."""
        self._done += advance
        self._progress.update(self._task, advance=advance, description=text)
        now = time.monotonic()
        due = now - self._last_line > _PLAIN_LINE_EVERY_S or self._done == self._total
        if not self._console.is_terminal and due:
            pace_s = (now - self._started) / max(1, self._done - self._first)
            left = timedelta(seconds=round(pace_s * (self._total - self._done)))
            self._console.print(f"{self._done}/{self._total}  {left} left  {text}")
            self._last_line = now


@contextmanager
def progress_bar(total: int, done: int = 0) -> Iterator[ProgressBar]:
    """A bar on standard error for ``total`` things, of which ``done`` were done before."""
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield ProgressBar(console, progress, total, done)
