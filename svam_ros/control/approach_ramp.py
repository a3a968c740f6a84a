"""How fast the arms may approach a path that they are not on."""

from __future__ import annotations

from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.settings import GuardSettings


class ApproachRamp:
    """Share of the velocity limits while approaching.

    For some seconds it stays low where the path is far away after an engage: a person may be near and not
    expect the way. A path that begins beside the arms, or is met again after a hold in mid-motion, is no
    way to be wary of. Then it grows: at constant low speed the arms never reach a path that moves faster.
    """

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._grows_from_ns = 0

    def begin(self, due_ns: int, *, far: bool) -> None:
        """The approach begins at ``due_ns`` (steady)."""
        slow_ms = self._settings.engage_ramp_ms if far else 0.0
        self._grows_from_ns = due_ns + round(slow_ms * NS_PER_MS)

    def speed_share(self, due_ns: int) -> float:
        """At this moment."""
        settings = self._settings
        growth = (due_ns - self._grows_from_ns) / NS_PER_MS / settings.resume_ramp_ms
        least = settings.ramp_speed_fraction
        return least + (1.0 - least) * min(1.0, max(0.0, growth))
