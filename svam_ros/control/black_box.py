"""The last ten seconds of the guard, kept in memory and handed out when the arms hold or stop."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from svam_ros.control.clocks import NS_PER_MS, NS_PER_S
from svam_ros.control.guard_state import MOVING, Command, GuardState, GuardStatus
from svam_ros.types import BlackBoxEvent, BlackBoxExcerpt, FloatArray

KEPT_S = 10.0
KEPT_EVENTS = 2000
AFTERMATH_MS = 700.0
"""How long the box goes on after the cause: braking from full speed takes 500 ms."""


@dataclass(frozen=True)
class _Tick:
    command: Command
    measured: FloatArray | None


class BlackBox:
    """Remembers ticks and events; says when they are worth keeping.

    Args:
        tick_rate_hz: set-points a second.
    """

    def __init__(self, tick_rate_hz: float) -> None:
        self._ticks: deque[_Tick] = deque(maxlen=round(KEPT_S * tick_rate_hz))
        self._events: deque[BlackBoxEvent] = deque(maxlen=KEPT_EVENTS)
        self._state, self._said = GuardState.IDLE, ""
        self._cause: tuple[int, str] | None = None

    def note(self, at_ns: int, kind: str, text: str) -> None:
        """Something happened at ``at_ns`` (steady)."""
        self._events.append(BlackBoxEvent(at_ns, kind, text))

    def add(
        self, command: Command | None, measured: FloatArray | None, status: GuardStatus, now_ns: int
    ) -> BlackBoxExcerpt | None:
        """A tick has passed.

        Args:
            command: what was sent, if anything.
            measured: ``(14,)`` newest measured joints.
            status: of the guard after the tick.
            now_ns: steady time.

        Returns:
            What is to be kept, some time after the arms began to hold or to stop; else ``None``.
        """
        if command is not None:
            self._ticks.append(_Tick(command, measured))
        said = f"{status.state.value}: {status.reason}" if status.reason else status.state.value
        if said != self._said:
            self.note(now_ns, "state", said)
            ended = self._state in MOVING and status.state not in MOVING
            worse = status.state is GuardState.STOPPED and self._state is not GuardState.IDLE
            if ended or worse:
                self._cause = self._cause or (now_ns, said)
            self._state, self._said = status.state, said
        if self._cause is None or now_ns - self._cause[0] < AFTERMATH_MS * NS_PER_MS:
            return None
        return self.take()

    def take(self) -> BlackBoxExcerpt | None:
        """What is held for a cause that has not been handed out yet; ``None`` where there is none."""
        if self._cause is None or not self._ticks:
            return None
        (cause_ns, cause), self._cause = self._cause, None
        commands = [tick.command for tick in self._ticks]
        unknown = np.full(len(commands[0].positions), np.nan)
        return BlackBoxExcerpt(
            cause=cause,
            cause_ns=cause_ns,
            due_ns=np.array([command.due_ns for command in commands], dtype=np.int64),
            commanded=np.array([command.positions for command in commands]),
            velocities=np.array([command.velocities for command in commands]),
            measured=np.array([unknown if t.measured is None else t.measured for t in self._ticks]),
            states=tuple(command.state.value for command in commands),
            events=tuple(event for event in self._events if event.at_ns >= commands[0].due_ns - NS_PER_S),
        )
