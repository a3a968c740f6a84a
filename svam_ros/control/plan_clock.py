"""Steady time in terms of ROS time: followed slowly for evenly spaced stamps, and watched for jumps.

Motion is planned in steady time. ROS time is set by others: NTP slews and steps it, and a simulation may
set it anew.
"""

from __future__ import annotations

import math

from svam_ros.control.clocks import NS_PER_MS, NS_PER_S

JUMP_MS = 100.0
"""A difference above this is a jump: ntpd steps a clock that is more than 128 ms off, and slews it otherwise
(STEPT of RFC 5905); ROS time from a topic comes in steps of a few milliseconds."""
UNNOTICED_MS = 1.0
"""Smaller differences are left alone: reading two clocks takes a moment."""
FASTEST_SLEW = 7e-4
"""Seconds a second: more than Linux slews a clock by (500 ppm, adjtimex(2))."""
AVERAGED_OVER_S = 1.0
MADE_UP_WITHIN_S = 10.0
"""Both keep changes of the slew small: 1e-3 at once is 0.1 rad/s2 more where a joint moves at 1 rad/s."""


class PlanClock:
    """Where steady time lies in ROS time.

    Args:
        now_ns: steady time.
        now_ros_ns: ROS time at that moment.
    """

    def __init__(self, now_ns: int, now_ros_ns: int) -> None:
        self.steady_to_ros_ns = now_ros_ns - now_ns
        """Add this to steady time to get ROS time."""
        self._followed_ns = now_ns
        self._ahead_ns = 0.0
        """Of what stamps say, on average."""

    def follow(self, now_ns: int, now_ros_ns: int) -> float | None:
        """Take in what both clocks say at one moment.

        Returns:
            By how many seconds ROS time jumped; ``None`` where it did not.
        """
        ahead_ns = now_ros_ns - now_ns - self.steady_to_ros_ns
        elapsed_s = (now_ns - self._followed_ns) / NS_PER_S
        self._followed_ns = now_ns
        if abs(ahead_ns) > JUMP_MS * NS_PER_MS:
            self.steady_to_ros_ns += ahead_ns
            self._ahead_ns = 0.0
            return ahead_ns / NS_PER_S
        self._ahead_ns += (ahead_ns - self._ahead_ns) * min(1.0, elapsed_s / AVERAGED_OVER_S)
        noticed_ns = max(0.0, abs(self._ahead_ns) - UNNOTICED_MS * NS_PER_MS)
        slew = min(FASTEST_SLEW, noticed_ns / NS_PER_S / MADE_UP_WITHIN_S)
        self.steady_to_ros_ns += round(math.copysign(slew * elapsed_s * NS_PER_S, self._ahead_ns))
        return None
