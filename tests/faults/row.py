"""A row of the fault table: what is broken, what must follow, and how soon."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from faults.rig import FaultRig
from faults.trial_record import TrialRecord
from svam_ros import graph
from svam_ros.control.faults import Fault

NAMED_MS = 200.0
"""Every fault is named on /diagnostics within this time of being there to see."""
BRAKE_MS = 350.0
"""To measured rest. A swing (rig.SWING) moves at up to 1 rad/s: 250 ms at 5 rad/s^2 and 100 rad/s^3, and what
the guard's tick, the messages and the arms take on top."""
HORIZON_MS = 640.0
"""Sixteen steps: the longest that a chunk in force goes on."""
SETTLE_S = 0.8
"""Arms that brake from full speed are at rest after 0.3 s."""

FORGET_S = 0.8
"""With the time to follow, more than the second in which what was named at the engage is not named again."""

Figures = dict[str, float]
"""What a trial measured, by name."""


class NotHere(Exception):
    """A row cannot be tried on this machine; the text says what it needs."""


@dataclass(frozen=True)
class Row:
    """One kind of trial of one row; a row may have several."""

    number: int
    """In the fault table of docs/safety.md."""
    name: str
    trial: Callable[[FaultRig], Figures]
    """Raises AssertionError where the required behaviour was not seen."""
    figures: Mapping[str, float]
    """The most that each measured figure may be."""

    @property
    def title(self) -> str:
        """Number and name."""
        return f"{self.number:02d} {self.name}"


ROWS: list[Row] = []
"""Filled by the decorator of every trial."""


def row(
    number: int, name: str, **figures: float
) -> Callable[[Callable[[FaultRig], Figures]], Callable[[FaultRig], Figures]]:
    """Enter a trial in the table, with the most that its figures may be."""

    def enter(trial: Callable[[FaultRig], Figures]) -> Callable[[FaultRig], Figures]:
        ROWS.append(Row(number, name, trial, figures))
        return trial

    return enter


def what_went_wrong(error: Exception) -> str:
    """The error of a trial, and the line that it came from: outside pytest an assertion says nothing else."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno}: {frame.line})"


@dataclass(frozen=True)
class Suffered:
    """A fault in mid-motion, seen to its end."""

    record: TrialRecord
    since_ns: int

    def named_ms(self, fault: Fault, by: str) -> float:
        """When it was named, which must have happened once within the time for naming."""
        times = self.record.named_ms(fault, by, self.since_ns)
        assert times, f"{fault.name} was not named by {by}"
        soon = [ms for ms in times if ms < times[0] + NAMED_MS]
        assert len(soon) == 1, f"{fault.name} was named {len(soon)} times within {NAMED_MS:.0f} ms"
        return times[0]

    def rest_ms(self) -> float:
        """When the arms were at rest."""
        return self.record.rest_ms(self.since_ns)

    def figures(self, fault: Fault, by: str) -> Figures:
        """Both times, of a fault that brings the arms to rest."""
        return {"named_ms": self.named_ms(fault, by), "rest_ms": self.rest_ms()}


def suffer(
    rig: FaultRig,
    break_it: Callable[[], int],
    fault: Fault,
    by: str = graph.POLICY_NODE,
    state: str | None = "holding",
) -> Suffered:
    """In mid-motion something breaks: the fault is named, and the arms come to rest.

    Args:
        rig: prepared.
        break_it: does it, and gives the steady time at which it was done.
        fault: that must be named.
        by: the node that must name it.
        state: of the guard that must follow; ``None`` where the motion goes on.
    """
    rig.begin()
    rig.follow()
    rig.pause(FORGET_S)
    since_ns = break_it()
    rig.wait_named(fault, by)
    if state is not None:
        rig.wait_state(state)
    rig.pause(SETTLE_S)
    record = rig.record()
    assert_sound(rig, record)
    return Suffered(record, since_ns)


def assert_sound(rig: FaultRig, record: TrialRecord) -> None:
    """What holds whatever happens."""
    violations = record.violations(rig.cobot)
    assert not violations, "; ".join(violations)


def assert_resumes(rig: FaultRig) -> None:
    """After a hold the motion comes back by itself, within the limits.

    A policy that hears nobody any more is started anew, as ``ros2 launch`` does.
    """

    def follows() -> bool:
        rig.replace_deaf_policy()
        return rig.operator.motion.get("state") == "following"

    rig.wait("the motion", follows, 10.0)
    rig.pause(0.3)
    assert_sound(rig, rig.record())


def assert_stays_stopped(rig: FaultRig, seconds: float = 1.0) -> None:
    """After a stop nothing moves, although the cause is gone; an engage leads out."""
    rig.begin()
    rig.pause(seconds)
    record = rig.record()
    for arm, track in record.states.items():
        if len(track.positions):
            moved = abs(track.positions - track.positions[0]).max()
            assert moved < 1e-4, f"the {arm} arm moved by {moved:.4f} after the stop"
    assert rig.operator.motion["state"] == "stopped"
    rig.follow()
