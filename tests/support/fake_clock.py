"""A steady clock that a test turns by hand."""

from __future__ import annotations


class FakeClock:
    """Fulfils ``svam_ros.control.clocks.SteadyClock``; starts well above zero, as real ones do."""

    def __init__(self, start_ns: int = 1_000_000_000_000) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance_ms(self, duration_ms: float) -> None:
        assert duration_ms >= 0.0
        self._now_ns += round(duration_ms * 1e6)
