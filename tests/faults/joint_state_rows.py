"""Rows 7, 8, 26 and 27: what the arms report, and whether they do as told."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

from faults.rig import FaultRig
from faults.row import (
    BRAKE_MS,
    NAMED_MS,
    SETTLE_S,
    Figures,
    assert_resumes,
    assert_sound,
    assert_stays_stopped,
    row,
    suffer,
)
from svam_ros.cobot import ARM_NAMES
from svam_ros.control.faults import Fault
from svam_ros.control.settings import GuardSettings

HOLD_MS, STOP_MS = GuardSettings().joint_state_hold_ms, GuardSettings().joint_state_stop_ms


def _states_break(rig: FaultRig, how: str, *, first: Fault) -> Figures:
    """One arm's states are no good: named, held when they are old, stopped when they stay away."""
    rig.prepare()
    arm = rig.parts["left"]
    suffered = suffer(rig, partial(arm.tell, states=how), first, "guard_node", "stopped")
    figures = suffered.figures(first, "guard_node")
    suffered.named_ms(Fault.JOINT_STATES_LOST, "guard_node")
    arm.tell(states="sound")
    rig.pause(0.1)  # an old state may still be on its way to the referee
    assert_stays_stopped(rig)
    return figures


@row(7, "joint states stop", named_ms=NAMED_MS + HOLD_MS, rest_ms=HOLD_MS + BRAKE_MS)
def silent(rig: FaultRig) -> Figures:
    """Held when they are late, stopped when they stay away."""
    return _states_break(rig, "silent", first=Fault.JOINT_STATES_STALE)


@row(7, "joint states repeat an old stamp", named_ms=NAMED_MS + HOLD_MS, rest_ms=HOLD_MS + BRAKE_MS)
def repeated(rig: FaultRig) -> Figures:
    """A driver that has lost its arm goes on publishing."""
    return _states_break(rig, "repeated", first=Fault.JOINT_STATES_STALE)


@row(7, "joint states hold NaN", named_ms=NAMED_MS, rest_ms=HOLD_MS + BRAKE_MS)
def nan(rig: FaultRig) -> Figures:
    """They do not count as having arrived."""
    return _states_break(rig, "nan", first=Fault.JOINT_STATES_MALFORMED)


@row(7, "a joint is missing", named_ms=NAMED_MS, rest_ms=HOLD_MS + BRAKE_MS)
def missing_joint(rig: FaultRig) -> Figures:
    """The same."""
    return _states_break(rig, "missing_joint", first=Fault.JOINT_STATES_MALFORMED)


@row(7, "joints in another order are put right")
def reordered(rig: FaultRig) -> Figures:
    """Names count, not places."""
    rig.prepare()
    rig.begin()
    rig.follow()
    rig.parts["left"].tell(states="reordered")
    rig.pause(1.5)
    assert_sound(rig, rig.record())
    assert rig.operator.motion["state"] == "following"
    return {}


@row(8, "one arm's states come 200 ms late", named_ms=NAMED_MS + 100.0, rest_ms=HOLD_MS + BRAKE_MS)
def skewed(rig: FaultRig) -> Figures:
    """Both arms hold: a policy that saw them would see two moments."""
    rig.prepare()
    left = rig.parts["left"]
    suffered = suffer(
        rig, partial(left.tell, states="late"), Fault.JOINT_STATES_STALE, "guard_node", "holding"
    )
    figures = {
        "named_ms": suffered.named_ms(Fault.JOINT_STATES_STALE, "guard_node"),
        # The left arm's rest is reported as late as everything else.
        "rest_ms": suffered.record.rest_ms(suffered.since_ns, "right"),
    }
    left.tell(states="sound")
    assert_resumes(rig)
    return figures


@row(26, "an arm is blocked", brake_ms=BRAKE_MS)
def blocked(rig: FaultRig) -> Figures:
    """Stopped where it is measured: the command goes back to the blocked joint instead of pressing on."""
    rig.prepare()
    left = rig.parts["left"]
    suffered = suffer(rig, partial(left.tell, blocked=0), Fault.ARM_NOT_FOLLOWING, "guard_node", "stopped")
    named_ms = suffered.named_ms(Fault.ARM_NOT_FOLLOWING, "guard_node")
    rig.pause(SETTLE_S)  # the way back to where the arm stands takes a second
    record = rig.record()
    assert_sound(rig, record)
    commanded, measured = (track["left"].positions[-1] for track in (record.commands, record.states))
    off_rad = float(abs(commanded - measured)[:6].max())
    assert off_rad < 0.02, f"the last set-point presses on by {off_rad:.3f} rad"
    left.tell(blocked=None)
    assert_stays_stopped(rig)
    return {"brake_ms": suffered.rest_ms() - named_ms}


@row(27, "one arm's driver dies", skew_ms=60.0 + HOLD_MS)
def driver_dies(rig: FaultRig) -> Figures:
    """Both arms stop together: the living one is not left to move alone."""
    rig.prepare()
    suffered = suffer(rig, _killing(rig, "left"), Fault.JOINT_STATES_LOST, "guard_node", "stopped")
    rest_ms = {arm: _commands_rest_ms(suffered.record.commands[arm], suffered.since_ns) for arm in ARM_NAMES}
    rig.parts.pop("left").close()
    rig.replace_part("left")
    assert_stays_stopped(rig)
    return {"skew_ms": abs(rest_ms["left"] - rest_ms["right"])}


def _killing(rig: FaultRig, part: str) -> Callable[[], int]:
    def kill() -> int:
        at_ns = time.monotonic_ns()
        rig.parts[part].process.send_signal(signal.SIGKILL)
        return at_ns

    return kill


def _commands_rest_ms(track, since_ns: int) -> float:
    off = abs(track.positions - track.positions[-1]).max(axis=1) > 1e-4
    moving = track.heard_ns[off]
    return (int(moving[-1]) - since_ns) / 1e6 if len(moving) else 0.0
