"""Whether anybody else commands the arms: two commanders in turn make them jump between two ways."""

from __future__ import annotations

from collections import deque

from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.faults import Fault, Finding

REMEMBERED_SET_POINTS = 2000
"""Ten seconds at 200 Hz: far longer than a set-point takes to come back."""
RECENT_MS = 1000.0
"""For this long after a foreign set-point nobody engages."""


class CommanderWatch:
    """Knows the guard's own set-points by their stamps; any other on the arms' topics is foreign."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._own: set[int] = set()
        self._foreign: tuple[int, str] | None = None

    def sent(self, stamp_ns: int) -> None:
        """The guard sends set-points with this stamp."""
        self._own.add(stamp_ns)
        self._order.append(stamp_ns)
        if len(self._order) > REMEMBERED_SET_POINTS:
            self._own.discard(self._order.popleft())

    def heard(self, arm: str, stamp_ns: int, now_ns: int) -> Finding | None:
        """A set-point came by on an arm's command topic at ``now_ns`` (steady): is it foreign?"""
        if stamp_ns in self._own:
            return None
        self._foreign = now_ns, arm
        return Finding(
            Fault.SECOND_COMMANDER,
            f"a set-point for the {arm} arm that is not ours; is another program, or another guard, running?",
        )

    def obstacles_to_engage(self, now_ns: int) -> list[Finding]:
        """Whether somebody else has commanded the arms of late."""
        if self._foreign is None or now_ns - self._foreign[0] > RECENT_MS * NS_PER_MS:
            return []
        beside = Finding(
            Fault.ENGAGE_BESIDE_ANOTHER_COMMANDER,
            f"somebody else commanded the {self._foreign[1]} arm within the last second; end that program",
        )
        return [beside]
