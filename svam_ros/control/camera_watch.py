"""Whether the camera shows what is there now: a frozen or a blind one goes on sending frames, on time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.faults import Fault, Finding
from svam_ros.types import FloatArray

SUSPECT_FRAMES = 5
"""Frames in a row that make a fault: 167 ms at 30 Hz."""
FROZEN_WHILE_MOVED_RAD = 0.03
"""Motion of an arm joint that no picture of the arms can miss; at rest equal pictures say nothing, since a
simulated camera has no noise."""
SLOWEST_PERIOD_MS = 125.0
"""Between frames: at 8 Hz a frame that arrives is fresh, and the one before it long out of date."""
TRUSTED_PERIODS = 2
"""No longer than that in a row are needed: a camera at 5 Hz is slow all the time, not every now and then."""
DARK, BRIGHT = 3.0, 252.0
"""Mean brightness, 0 to 255, below and above which nothing can be seen."""


@dataclass(frozen=True)
class FrameTraits:
    """What is cheap to know of a frame that was not decoded."""

    digest: int
    """Of its bytes: equal for equal pictures."""
    brightness: float | None
    """Mean of a sample of its bytes, 0 to 255; ``None`` where bytes are no brightness (JPEG)."""


class CameraWatch:
    """Looks at every frame that arrives, whether it is used or not."""

    def __init__(self, cobot: Cobot) -> None:
        self._cobot = cobot
        self._positions: FloatArray = np.full(len(cobot.joint_names), np.nan)
        self._digest: int | None = None
        self._equal_frames = 0
        self._since_equal: FloatArray = self._positions
        self._unseeing_frames = 0
        self._brightness = 0.0
        self._arrivals_ns: deque[int] = deque(maxlen=TRUSTED_PERIODS + 1)

    def add_positions(self, arm: str, positions: FloatArray) -> None:
        """``(7,)`` measured joints of one arm."""
        self._positions = self._positions.copy()
        self._positions[self._cobot.arm_slice(arm)] = positions

    def add_frame(self, traits: FrameTraits, now_ns: int) -> None:
        """A frame has arrived at ``now_ns`` (steady)."""
        self._arrivals_ns.append(now_ns)
        if traits.digest == self._digest:
            self._equal_frames += 1
        else:
            self._digest, self._equal_frames, self._since_equal = traits.digest, 1, self._positions
        if traits.brightness is None or DARK <= traits.brightness <= BRIGHT:
            self._unseeing_frames = 0
        else:
            self._unseeing_frames, self._brightness = self._unseeing_frames + 1, traits.brightness

    def finding(self, now_ns: int) -> Finding | None:
        """What is wrong with the newest frames at ``now_ns`` (steady); ``None`` while they can be trusted."""
        if self._arrivals_ns and (slow := self._too_seldom(now_ns)) is not None:
            return slow
        if self._unseeing_frames >= SUSPECT_FRAMES:
            detail = f"{self._unseeing_frames} frames with a mean brightness of {self._brightness:.1f} of 255"
            return Finding(Fault.CAMERA_BLIND, f"{detail}; is the lens covered, or the exposure stuck?")
        moved = np.abs(self._positions - self._since_equal)[self._cobot.is_arm_joint]
        moved_rad = float(np.nan_to_num(moved).max())
        if self._equal_frames >= SUSPECT_FRAMES and moved_rad > FROZEN_WHILE_MOVED_RAD:
            detail = f"{self._equal_frames} equal frames while an arm moved by {moved_rad:.2f} rad"
            return Finding(Fault.CAMERA_FROZEN, f"{detail}; restart the camera's driver")
        return None

    def _too_seldom(self, now_ns: int) -> Finding | None:
        silent_ms = (now_ns - self._arrivals_ns[-1]) / NS_PER_MS
        if silent_ms > SLOWEST_PERIOD_MS:
            return Finding(Fault.CAMERA_SLOW, f"none for {silent_ms:.0f} ms; is its driver up?")
        if len(self._arrivals_ns) < 2:
            return None
        longest_ms = max((later - earlier) / NS_PER_MS for earlier, later in pairwise(self._arrivals_ns))
        if longest_ms > SLOWEST_PERIOD_MS:
            detail = f"of the last {len(self._arrivals_ns)} two came {longest_ms:.0f} ms apart"
            return Finding(Fault.CAMERA_SLOW, f"{detail}, allowed are {SLOWEST_PERIOD_MS:.0f} ms")
        return None
