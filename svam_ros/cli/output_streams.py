"""Standard output and error that outlive whoever reads them.

A write to a terminal that was closed fails with EIO, one to a pipe whose reader has ended with EPIPE. Neither
may keep the arms from being brought to rest: what nobody can read is not written, and all goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class ForgivingStream:
    """A text stream that falls silent when its reader is gone. All else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do nothing where nobody reads."""
        try:
            return self._stream.write(text)
        except OSError:
            self._fall_silent()
            return len(text)

    def flush(self) -> None:
        """Flush, or do nothing where nobody reads."""
        try:
            self._stream.flush()
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        """Turn the descriptor to nowhere: what is still in a buffer would fail again when Python ends."""
        with suppress(OSError, ValueError):
            descriptor = self._stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def forgiving_output() -> Iterator[None]:
    """Standard output and error are :class:`ForgivingStream` until the block ends."""
    previous = sys.stdout, sys.stderr
    forgiving: list[Any] = [ForgivingStream(stream) for stream in previous]
    sys.stdout, sys.stderr = forgiving
    try:
        yield
    finally:
        for stream in forgiving:
            stream.flush()
        sys.stdout, sys.stderr = previous
