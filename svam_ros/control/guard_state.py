"""What the guard says: its state, its commands, its counters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from svam_ros.control.faults import Fault
from svam_ros.types import FloatArray


class GuardState(Enum):
    """What the arms are doing."""

    IDLE = "idle"
    """Never engaged: nothing is sent."""
    RAMPING = "ramping"
    """Approaching the chunks' path at reduced speed."""
    FOLLOWING = "following"
    """On the chunks' path."""
    HOLDING = "holding"
    """Braking, or at rest after it; goes on by itself when the cause is gone."""
    STOPPED = "stopped"
    """Braking, or at rest after it; only an engage leads out."""


MOVING = (GuardState.RAMPING, GuardState.FOLLOWING)
"""States in which the arms act on chunks."""


@dataclass(frozen=True)
class Command:
    """One set-point for both arms."""

    positions: FloatArray
    """``(14,)`` rad, m: finite and inside the limits. Not to be written to."""
    velocities: FloatArray
    """``(14,)`` rad/s, m/s. Not to be written to."""
    due_ns: int
    """Steady time that the set-point is meant for; they lie on a uniform clock."""
    state: GuardState
    fresh: bool
    """It follows a step of a chunk; otherwise the arms brake or hold."""
    observation_age_ms: float | None
    """Age, when due, of the observation it was made from; ``None`` unless fresh."""


@dataclass(frozen=True)
class WayToRest:
    """How the arms come to rest behind the last set-point if no other follows: proved, inside the limits."""

    after_s: FloatArray
    """``(n,)`` behind the last set-point's time, increasing; at least one."""
    positions: FloatArray
    """``(n, 14)`` rad, m; the last row is where the arms stay."""
    velocities: FloatArray
    """``(n, 14)`` rad/s, m/s; the last row is zero."""


@dataclass(frozen=True)
class GuardStatus:
    """Everything an operator may want to know, at one moment."""

    state: GuardState
    reason: str
    """Why the arms hold or are stopped, or are about to: the policy has fallen silent; empty otherwise."""
    fault: Fault | None
    """The fault behind ``reason``; ``None`` where an operator or nobody is."""
    at_rest: bool
    """The last set-point stands still, or there is none."""
    commanding: bool
    """Set-points are being sent: from an engage until a stop has led to rest and silence."""
    joint_state_age_ms: float | None
    """Age of the joint states by their stamp, the older arm's; ``None`` before both have reported."""
    chunks_accepted: int
    """Chunks that were taken in."""
    steps_executed: int
    """Control periods (25 a second) in which the arms acted on a fresh chunk, approaching or following."""
    steps_stalled: int
    """Control periods without a fresh step, counted from the first fresh one after an engage until the
    next hold or stop by an operator."""
    active_s: float
    """Time that those periods make up, executed and stalled: a rate over it cannot exceed theirs."""
    steps_clamped: int
    """Chunk steps moved into the joint limits."""
    late_ticks: int
    """Wake-ups that came a whole period late or more."""
    ticks_followed: int
    """Set-points on the path that chunks ask for, the way onto it left out."""
    ticks_limited: int
    """Of these, the ones that the joints' limits kept more than 0.02 rad off it."""
    faults: dict[Fault, int]
    """How often each fault was found."""
