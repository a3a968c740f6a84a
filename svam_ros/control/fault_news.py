"""When a node has to speak on /diagnostics: once a second, and at once where a fault is new."""

from __future__ import annotations

from collections.abc import Mapping

from svam_ros.control.clocks import NS_PER_S
from svam_ros.control.faults import Fault

PERIOD_NS = NS_PER_S
"""Between two messages without news; and between two that name the same fault."""


class FaultNews:
    """Keeps apart what was said and what is news.

    A fault that goes on, or comes ten thousand times a second, is named once a second; the counters that
    go with the message are exact all the same.
    """

    def __init__(self) -> None:
        self._said_ns: int | None = None
        self._said_fault: Fault | None = None
        self._said_counts: dict[Fault, int] = {}
        self._named_ns: dict[Fault, int] = {}

    def due(self, fault: Fault | None, counts: Mapping[Fault, int], now_ns: int) -> bool:
        """Whether to publish now.

        Args:
            fault: that the node stands under at the moment.
            counts: how often each fault was found so far.
            now_ns: steady time.
        """
        if self._said_ns is None or now_ns - self._said_ns >= PERIOD_NS or fault is not self._said_fault:
            return True
        return bool(self._new(counts, now_ns))

    def say(self, fault: Fault | None, counts: Mapping[Fault, int], now_ns: int) -> tuple[Fault, ...]:
        """A message is published; gives the faults that it has to name: found since they were last named."""
        new = self._new(counts, now_ns)
        standing = () if fault is None else (fault,)
        self._named_ns |= dict.fromkeys((*new, *standing), now_ns)
        self._said_counts |= {fault: counts[fault] for fault in new}
        self._said_ns, self._said_fault = now_ns, fault
        return new

    def _new(self, counts: Mapping[Fault, int], now_ns: int) -> tuple[Fault, ...]:
        return tuple(
            fault
            for fault, count in counts.items()
            if count > self._said_counts.get(fault, 0)
            and now_ns - self._named_ns.get(fault, now_ns - PERIOD_NS) >= PERIOD_NS
        )
