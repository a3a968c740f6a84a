"""Counts control periods in which the arms acted on a fresh chunk, and those in which they could not."""

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
        """Control periods with a fresh command: on a chunk's path, or approaching it."""
        self.stalled = 0
        """Control periods without one: holding because nothing fresh was there."""

    @property
    def seconds(self) -> float:
        """Time in which the arms should have moved: all the periods above, whole ones."""
        return (self.executed + self.stalled) * self._step_ns / 1e9

    def pause(self) -> None:
        """Count nothing until the next fresh command."""
        self._next_ns = None

    def count(self, due_ns: int, fresh: bool) -> None:
        """Note the set-point for ``due_ns``; periods that no set-point fell into count as stalled.

        Args:
            due_ns: steady time of the set-point.
            fresh: it was made from a step of a chunk that was not past.
        """
        if self._next_ns is None:
            if not fresh:
                return
            self._next_ns = due_ns
        if due_ns < self._next_ns:
            return
        skipped = (due_ns - self._next_ns) // self._step_ns
        self.stalled += skipped + (0 if fresh else 1)
        self.executed += 1 if fresh else 0
        self._next_ns += (skipped + 1) * self._step_ns
