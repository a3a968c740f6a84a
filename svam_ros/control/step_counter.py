"""Counts control periods with the arms on a fresh chunk's path, and those without such a path."""

from __future__ import annotations


class StepCounter:
    """Looks at the motion once per control period, on a uniform grid of its own.

    Steps of successive chunks do not lie on one grid, as observations come when they come; counting
    steps as they pass would find some rate other than 25 Hz in a perfect run.
    """

    def __init__(self, step_ns: int) -> None:
        self._step_ns = step_ns
        self._next_ns: int | None = None
        self.executed = 0
        """Control periods on a fresh path."""
        self.stalled = 0
        """Control periods without one."""

    def pause(self) -> None:
        """Count nothing until the arms are on a fresh path again."""
        self._next_ns = None

    def count(self, due_ns: int, following: bool, fresh: bool) -> None:
        """Note the set-point for ``due_ns``; periods that no set-point fell into count as stalled.

        Args:
            due_ns: steady time of the set-point.
            following: the arms were on a fresh path.
            fresh: there was a fresh path; with ``following`` false, the arms were still approaching it.
        """
        if self._next_ns is None:
            if not following:
                return
            self._next_ns = due_ns
        if due_ns < self._next_ns:
            return
        skipped = (due_ns - self._next_ns) // self._step_ns
        self.stalled += skipped + (0 if fresh else 1)
        self.executed += 1 if following else 0
        self._next_ns += (skipped + 1) * self._step_ns
