"""How the arms come to rest, and for how long the resting pose is repeated after a stop."""

from __future__ import annotations

from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.motion_limiter import MotionLimiter
from svam_ros.control.settings import GuardSettings
from svam_ros.types import FloatArray


class ComingToRest:
    """From one stop or hold to the next motion."""

    def __init__(self, settings: GuardSettings) -> None:
        self._silence_ns = settings.stop_silence_ms * NS_PER_MS
        self._pose: FloatArray | None = None
        self._rested_since_ns: int | None = None

    def restart(self) -> None:
        """Braking begins anew, or motion does."""
        self._pose = self._rested_since_ns = None

    def aim_at(self, pose: FloatArray) -> None:
        """``(14,)`` the pose to rest in: where arms stand that did not follow."""
        self._pose = pose

    def step(self, limiter: MotionLimiter) -> None:
        """One period of braking; after :meth:`aim_at`, of the way to that pose."""
        if self._pose is None:
            limiter.brake()
        elif limiter.settle(self._pose):
            self._pose = None

    def is_over(self, limiter: MotionLimiter, due_ns: int) -> bool:
        """Whether the resting pose has been repeated long enough by the set-point due at ``due_ns``."""
        if not limiter.at_rest:
            return False
        if self._rested_since_ns is None:
            self._rested_since_ns = due_ns
        return due_ns - self._rested_since_ns > self._silence_ns
