"""When a process that ended is started anew, and when it stays down.

A policy that died may be started anew while the guard holds: its chunks are of a new run, and the arms go on
by a ramp. One that dies again and again does not come back for ever: a public server whose device was lost
answered errors for 22 hours.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable

from svam_ros.bringup.exit_codes import ENDED_IN_ORDER, NO_DEVICE_MEMORY, REFUSED_TO_START

MOST_RESTARTS = 3
WITHIN_S = 60.0

_FOR_GOOD = {
    ENDED_IN_ORDER: "it was told to end",
    -signal.SIGINT: "it was told to end",
    -signal.SIGTERM: "it was told to end",
    REFUSED_TO_START: "what it was given has to be put right first",
    NO_DEVICE_MEMORY: "the device's memory has to be freed first",
}
"""By exit code: a new process would end the same way, or is not wanted."""


class Restarts:
    """Of one process of the table.

    Args:
        now_s: steady time.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._at_s: deque[float] = deque(maxlen=MOST_RESTARTS)

    def stays_down(self, exit_code: int) -> str | None:
        """Why a process that ended with ``exit_code`` is not started anew.

        Returns:
            ``None`` where it is, and that counts as a restart. Exit codes below zero are signals, as
            :class:`subprocess.Popen` has them.
        """
        if exit_code in _FOR_GOOD:
            return _FOR_GOOD[exit_code]
        now_s = self._now_s()
        if len(self._at_s) == MOST_RESTARTS and now_s - self._at_s[0] < WITHIN_S:
            return f"it was started anew {MOST_RESTARTS} times within {WITHIN_S:.0f} s"
        self._at_s.append(now_s)
        return None
