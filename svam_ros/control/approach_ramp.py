"""How fast the arms may approach a path that they are not on, and when they have arrived."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.settings import GuardSettings
from svam_ros.types import FloatArray


class ApproachRamp:
    """Share of the velocity limits while approaching.

    For some seconds it stays low where the path is far away after an engage: a person may be near and not
    expect the way. A path that begins beside the arms, or is met again after a hold in mid-motion, is no
    way to be wary of. Then it grows: at constant low speed the arms never reach a path that moves faster.

    Args:
        settings: distances, durations and the low share.
        is_arm_joint: ``(14,)``; grippers may be anywhere.
    """

    def __init__(self, settings: GuardSettings, is_arm_joint: NDArray[np.bool_]) -> None:
        self._settings = settings
        self._arm_joints = is_arm_joint
        self._grows_from_ns = 0
        self._has_arrived = False

    def restart(self) -> None:
        """An operator has engaged: the next approach may be a long one."""
        self._has_arrived = False

    def begin(self, due_ns: int, positions: FloatArray, path: FloatArray) -> None:
        """An approach from ``positions`` to ``path``, each ``(14,)`` rad and m, begins at ``due_ns``."""
        is_long = not self._has_arrived and self._distance(positions, path) > self._settings.near_rad
        slow_ms = self._settings.engage_ramp_ms if is_long else 0.0
        self._grows_from_ns = due_ns + round(slow_ms * NS_PER_MS)

    def speed_share(self, due_ns: int) -> float:
        """At this moment."""
        settings = self._settings
        growth = (due_ns - self._grows_from_ns) / NS_PER_MS / settings.resume_ramp_ms
        least = settings.ramp_speed_fraction
        return least + (1.0 - least) * min(1.0, max(0.0, growth))

    def arrives(self, positions: FloatArray, path: FloatArray) -> bool:
        """Whether every arm joint is so close to the path that the approach ends."""
        arrives = self._distance(positions, path) < self._settings.ramp_done_rad
        self._has_arrived |= arrives
        return arrives

    def _distance(self, positions: FloatArray, path: FloatArray) -> float:
        """Of the arm joint that is farthest off, rad."""
        return float(np.abs(positions - path)[self._arm_joints].max())
