"""The set-points that are committed, and the way to rest behind them: what is sent as one motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from svam_ros.control.guard_state import Command, WayToRest
from svam_ros.types import PlannedPoints

COMMIT_AHEAD_MS = 60.0
"""Set-points that a trajectory holds ready: an interpreter that is kept waiting for less is not noticed."""
POINT_SPACING_S = 0.02
"""Between the points of the way to rest."""
LEAST_S = 0.5
"""Behind the last set-point a message goes on for at least this long: one whose end is past is refused."""
SETTINGS = {"commit_ahead_ms": COMMIT_AHEAD_MS, "catch_up_periods": 400, "restart_after_ms": 1000.0}
"""Of the guard: what is late is made up for, since it is not due yet; after a second the arms are at rest."""


class TrajectoryPlan:
    """Collects set-points that are computed :data:`COMMIT_AHEAD_MS` before they are due."""

    def __init__(self) -> None:
        self._committed: deque[Command] = deque()

    def add(self, commands: Sequence[Command], now_ns: int) -> bool:
        """Take set-points, later than all before.

        Args:
            commands: in order.
            now_ns: steady time.

        Returns:
            Whether there is something to send. It has to be: set-points that were computed and not sent are a
            gap in the motion when the next wake-up is late.
        """
        self._committed.extend(commands)
        while self._committed and self._committed[0].due_ns <= now_ns:
            self._committed.popleft()
        return bool(self._committed)

    def points(self, rest: WayToRest) -> PlannedPoints:
        """The set-points that are still to come, then the way to rest behind the last of them."""
        commands = list(self._committed)
        rest = _lengthened(rest)
        due_ns = [command.due_ns for command in commands]
        braking_ns = due_ns[-1] + np.round(rest.after_s * 1e9).astype(np.int64)
        return PlannedPoints(
            np.concatenate([np.array(due_ns, np.int64), braking_ns]),
            np.concatenate([[command.positions for command in commands], rest.positions]),
            np.concatenate([[command.velocities for command in commands], rest.velocities]),
        )


def _lengthened(rest: WayToRest) -> WayToRest:
    """With a last point where the arms stay, if the way is shorter than :data:`LEAST_S`."""
    if rest.after_s[-1] >= LEAST_S:
        return rest
    return WayToRest(
        np.append(rest.after_s, LEAST_S),
        np.concatenate([rest.positions, rest.positions[-1:]]),
        np.concatenate([rest.velocities, rest.velocities[-1:]]),
    )
