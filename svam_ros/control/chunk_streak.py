"""One chunk that cannot be used is dropped; several in a row say that the policy is not to be trusted."""

from __future__ import annotations

from svam_ros.control.faults import Fault, Finding
from svam_ros.control.settings import GuardSettings

_BROKEN = (Fault.CHUNK_NOT_FINITE, Fault.CHUNK_MALFORMED)


class ChunkStreak:
    """Counts chunks in a row that were refused for what they hold, not for when they came."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._broken = 0
        self._outside = 0

    def restart(self) -> None:
        """An operator has engaged: what was before does not count."""
        self._broken = self._outside = 0

    def count(self, finding: Finding | None) -> None:
        """A chunk was taken in, or refused for ``finding``; late and foreign ones say nothing."""
        if finding is None:
            self.restart()
        elif finding.fault in _BROKEN:
            self._broken += 1
        elif finding.fault is Fault.CHUNK_OUTSIDE_LIMITS:
            self._outside += 1

    def verdict(self) -> Finding | None:
        """What follows from the streak; ``None`` while it is short."""
        settings = self._settings
        if self._outside >= settings.outside_chunks_stop:
            detail = f"{self._outside} in a row asked for positions far outside the joint limits"
            return Finding(Fault.CHUNKS_BROKEN, detail)
        if self._broken >= settings.broken_chunks_stop:
            detail = f"{self._broken} in a row were not finite or not chunks at all"
            return Finding(Fault.CHUNKS_BROKEN, detail)
        if self._broken >= settings.broken_chunks_hold:
            return Finding(Fault.CHUNKS_UNUSABLE, f"{self._broken} in a row; waiting for a sound one")
        return None
