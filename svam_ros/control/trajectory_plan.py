"""The set-points that are committed, and the way to rest behind them: what is sent as one motion."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from svam_ros.control.guard_state import Command, WayToRest
from svam_ros.types import PlannedPoints

COMMIT_AHEAD_MS = 60.0
"""Set-points that a trajectory holds ready: an interpreter that is kept waiting for less is not noticed."""
MESSAGE_PERIOD_S = 0.02
"""Between two trajectories at least, and between the points of the way to rest."""
LEAST_S = 0.5
"""Behind the last set-point a message goes on for at least this long: one whose end is past is refused."""
EARLY_NS = 5_000_000
"""A wake-up this much early counts as in time."""
SETTINGS = {"commit_ahead_ms": COMMIT_AHEAD_MS, "catch_up_periods": 400, "restart_after_ms": 1000.0}
"""Of the guard: what is late is made up for, since it is not due yet; after a second the arms are at rest."""


class TrajectoryPlan:
    """Collects set-points that are computed :data:`COMMIT_AHEAD_MS` before they are due."""

    def __init__(self) -> None:
        self._committed: deque[tuple[int, Command]] = deque()
        self._next_ns = 0

    def add(self, commands: Sequence[Command], offset_ns: int, now_ns: int) -> bool:
        """Take set-points, later than all before.

        Args:
            commands: in order.
            offset_ns: add it to their time to get that of the messages' clock.
            now_ns: on the messages' clock.

        Returns:
            Whether it is time for a message.
        """
        self._committed.extend((command.due_ns + offset_ns, command) for command in commands)
        while self._committed and self._committed[0][0] <= now_ns:
            self._committed.popleft()
        if not self._committed or now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + round(MESSAGE_PERIOD_S * 1e9) - EARLY_NS
        return True

    def points(self, rest: WayToRest) -> PlannedPoints:
        """The set-points that are still to come, then the way to rest behind the last of them."""
        last_ns = self._committed[-1][0]
        rest = _lengthened(rest)
        due_ns = [due_ns for due_ns, _ in self._committed]
        braking_ns = last_ns + np.round(rest.after_s * 1e9).astype(np.int64)
        commands = [command for _, command in self._committed]
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
