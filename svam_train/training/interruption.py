"""Ctrl-C and the scheduler's request to end: finish the step, save, go."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(SystemExit):
    """The run was saved because a signal asked it to end; the exit code is the shell's for that signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


class Interruption:
    """Whether a signal came; made by :func:`watched_signals`."""

    def __init__(self) -> None:
        self.signal_number = 0
        """Of the first signal; 0 while none came."""


@contextmanager
def watched_signals() -> Iterator[Interruption]:
    """Within the block the first SIGINT or SIGTERM is only remembered; the second one acts as ever.

    Signals reach the main thread only: elsewhere nothing is watched.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def remember(number: int, _: FrameType | None) -> None:
        interruption.signal_number = number
        restore()
        print("Finishing the step, then saving; a second time ends at once.", file=sys.stderr, flush=True)

    for number in before:
        signal.signal(number, remember)
    try:
        yield interruption
    finally:
        restore()
