"""Ctrl-C, a request to end, a closed terminal: the first one interrupts, the rest change nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_INTERRUPTED = 130
"""Exit code of a command that was interrupted, whichever of the signals did it."""

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Turn the first of :data:`INTERRUPTS` into a ``KeyboardInterrupt``; ignore all that follow.

    Whoever presses Ctrl-C three times wants it to end, and it does: what comes after the first may not break
    into braking the arms and cleaning up. What was ignored before (``nohup``) stays ignored. After an
    interrupt the signals stay ignored, since the process is about to end.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {number: signal.getsignal(number) for number in INTERRUPTS}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore :data:`INTERRUPTS` until the block ends."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let an interrupt wait until the block ends: between starting a process and knowing that it is there."""
    came: list[tuple[int, FrameType | None]] = []
    previous = {number: signal.getsignal(number) for number in INTERRUPTS}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda *call: came.append(call))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0][0])
