"""Whether the arms go where they are told: a blocked joint or one without torque does not."""

from __future__ import annotations

from collections import deque

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.settings import GuardSettings
from svam_ros.types import FloatArray


class TrackingWatch:
    """Compares the measured joints with what was commanded of late.

    A servo is some time behind its command, so a joint is where it should be as long as it stands between any
    two commands of the last ``tracking_lag_ms``. Grippers do not count: they close on things.
    """

    def __init__(self, cobot: Cobot, settings: GuardSettings) -> None:
        self._names = cobot.joint_names
        self._is_arm_joint = cobot.is_arm_joint
        self._settings = settings
        self._commands: deque[tuple[int, FloatArray]] = deque()
        self._off_since_ns: int | None = None

    def restart(self) -> None:
        """What was commanded so far is not what the arms are at."""
        self._commands.clear()
        self._off_since_ns = None

    def commanded(self, due_ns: int, positions: FloatArray) -> None:
        """``positions`` ``(14,)`` are commanded for ``due_ns`` (steady time)."""
        self._commands.append((due_ns, positions))
        oldest_ns = due_ns - round(self._settings.tracking_lag_ms * NS_PER_MS)
        # One older than that stays: it was in force when the lag began.
        while len(self._commands) > 1 and self._commands[1][0] <= oldest_ns:
            self._commands.popleft()

    def check(self, measured: FloatArray | None, now_ns: int) -> Finding | None:
        """Whether a joint has been too far off for too long; ``measured`` is ``(14,)``."""
        if measured is None or not self._commands:
            return None
        told = np.array([positions for _, positions in self._commands])
        off = np.maximum(told.min(axis=0) - measured, measured - told.max(axis=0))
        off = np.where(self._is_arm_joint, off, 0.0)
        joint = int(off.argmax())
        if off[joint] <= self._settings.tracking_error_rad:
            self._off_since_ns = None
            return None
        if self._off_since_ns is None:
            self._off_since_ns = now_ns
        if now_ns - self._off_since_ns < self._settings.tracking_patience_ms * NS_PER_MS:
            return None
        return Finding(
            Fault.ARM_NOT_FOLLOWING,
            f"{self._names[joint]} is {off[joint]:.2f} rad from where it was told to be, allowed is "
            f"{self._settings.tracking_error_rad:g} rad; is it blocked, or without torque?",
        )
