"""How far the build of an engine is, for whoever waits."""

from __future__ import annotations

import time

from rich.console import Console


class BuildSteps:
    """One line for every step that is done, and how long it took; the one that runs moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._step: str | None = None
        self._began_s = 0.0

    def __enter__(self) -> BuildSteps:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._status.stop()
        if kind is None:
            self._finish()

    def begin(self, step: str) -> None:
        """The step before is done, this one begins."""
        self._finish()
        self._step, self._began_s = step, time.monotonic()
        self._status.update(step)

    def _finish(self) -> None:
        if self._step is not None:
            elapsed_s = time.monotonic() - self._began_s
            self._console.print(f"  {elapsed_s:6.1f} s  {self._step}", highlight=False)
        self._step = None
