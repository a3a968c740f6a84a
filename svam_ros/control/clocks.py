"""Time in the guard: steady nanoseconds, handed in from outside.

Nothing here reads a clock. :class:`SteadyClock` is what a caller needs to have; :class:`TickClock`
turns the irregular moments at which a process really runs into the uniform times for which
set-points are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class SteadyClock(Protocol):
    """A clock that never jumps and never runs backwards."""

    def now_ns(self) -> int:
        """Nanoseconds since some fixed moment."""


@dataclass(frozen=True)
class TickDue:
    """The set-points that one wake-up owes."""

    due_ns: tuple[int, ...]
    """Times of the set-points to compute, one period apart; empty where none is owed yet."""
    late: bool
    """The wake-up came at least one whole period after its set-point was due."""
    restarted: bool
    """Too late to catch up: the times begin anew at the present."""


class TickClock:
    """Uniform set-point times, ``period_ns`` apart, however irregularly the process wakes.

    Set-points computed for the moments at which a process happens to run jump whenever it was kept
    waiting. Computed for uniform times, they stay evenly spaced: after a delay a wake-up owes up to
    ``catch_up_periods`` set-points until the present is reached again. After a delay longer than
    ``restart_after_ns`` the times begin anew at the present.
    """

    def __init__(self, period_ns: int, catch_up_periods: int, restart_after_ns: int) -> None:
        self.period_ns = period_ns
        self._catch_up_periods = catch_up_periods
        self._restart_after_ns = restart_after_ns
        self._last_due_ns = 0

    @property
    def last_due_ns(self) -> int:
        """Time of the last set-point handed out: everything up to it is committed."""
        return self._last_due_ns

    def start(self, now_ns: int) -> None:
        """Begin with a set-point due now, which counts as handed out."""
        self._last_due_ns = now_ns

    def advance(self, now_ns: int) -> TickDue:
        """Say what a wake-up at ``now_ns`` owes, and count it as handed out."""
        delay_ns = now_ns - (self._last_due_ns + self.period_ns)
        if delay_ns > self._restart_after_ns:
            self._last_due_ns = now_ns
            return TickDue((now_ns,), late=True, restarted=True)
        if delay_ns < -self.period_ns:
            return TickDue((), late=False, restarted=False)
        # A timer that fires a little early still gets its set-point: refusing it would leave the
        # clock one period behind and make it catch up at the next wake-up, back and forth.
        count = min(1 + max(0, delay_ns // self.period_ns), self._catch_up_periods)
        first = self._last_due_ns + self.period_ns
        self._last_due_ns += count * self.period_ns
        due = tuple(range(first, self._last_due_ns + 1, self.period_ns))
        return TickDue(due, late=delay_ns >= self.period_ns, restarted=False)
