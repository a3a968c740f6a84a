"""Rows 10, 11, 13 and 24: what is in a chunk, and in which order chunks come."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from trajectory_msgs.msg import JointTrajectory

from faults.chunk_source import Spoil, as_they_are
from faults.rig import FaultRig
from faults.row import (
    BRAKE_MS,
    NAMED_MS,
    Figures,
    Suffered,
    assert_resumes,
    assert_sound,
    assert_stays_stopped,
    row,
    suffer,
)
from svam_ros.control.faults import Fault

CHUNK_MS = 160.0
PLAN_MS = 480.0
GUARD = "guard_node"


def _spoil_points(change: Callable[[list[float]], None]) -> Spoil:
    def spoil(message: JointTrajectory) -> list[JointTrajectory]:
        for point in message.points:
            positions = list(point.positions)
            change(positions)
            point.positions = positions
        return [message]

    return spoil


def _suffer_chunks(rig: FaultRig, spoil: Spoil, fault: Fault, state: str | None) -> Suffered:
    source = rig.prepare_source()
    suffered = suffer(rig, lambda: source.spoil(spoil), fault, GUARD, state)
    source.spoil(as_they_are)
    return suffered


def _set_first(value: float) -> Callable[[list[float]], None]:
    def change(positions: list[float]) -> None:
        positions[0] = value

    return change


@row(10, "chunks hold NaN", named_ms=NAMED_MS + CHUNK_MS, rest_ms=5 * CHUNK_MS + BRAKE_MS)
def nan(rig: FaultRig) -> Figures:
    """Each is refused whole; two in a row hold the arms, five stop them."""
    suffered = _suffer_chunks(rig, _spoil_points(_set_first(math.nan)), Fault.CHUNK_NOT_FINITE, "stopped")
    suffered.named_ms(Fault.CHUNKS_BROKEN, GUARD)
    figures = suffered.figures(Fault.CHUNK_NOT_FINITE, GUARD)
    assert_stays_stopped(rig)
    return figures


@row(10, "one chunk holds infinity")
def one_infinite(rig: FaultRig) -> Figures:
    """It is refused; the one before it goes on, and the next is taken."""
    left = itertools.count()

    def spoil(message: JointTrajectory) -> list[JointTrajectory]:
        if next(left):
            return [message]
        return _spoil_points(_set_first(math.inf))(message)

    _suffer_chunks(rig, spoil, Fault.CHUNK_NOT_FINITE, None)
    assert rig.operator.motion["state"] == "following"
    return {}


@row(11, "steps a little outside the limits are clamped")
def clamped(rig: FaultRig) -> Figures:
    """Counted, and nothing outside the limits is sent."""
    source = rig.prepare_source()
    limit = float(rig.cobot.limits.upper[13])
    rig.begin()
    rig.follow()
    before = int(rig.operator.motion["steps_clamped"])

    def widen(positions: list[float]) -> None:
        positions[13] = limit + 0.01

    source.spoil(_spoil_points(widen))
    rig.wait("clamped steps", lambda: int(rig.operator.motion["steps_clamped"]) > before, 3.0)
    rig.pause(0.5)
    assert_sound(rig, rig.record())
    assert rig.operator.motion["state"] == "following"
    return {}


@row(11, "steps far outside the limits", named_ms=NAMED_MS + CHUNK_MS, rest_ms=4 * CHUNK_MS + BRAKE_MS)
def far_outside(rig: FaultRig) -> Figures:
    """Three such chunks in a row stop the arms."""
    suffered = _suffer_chunks(rig, _spoil_points(_set_first(9.0)), Fault.CHUNK_OUTSIDE_LIMITS, "stopped")
    figures = suffered.figures(Fault.CHUNK_OUTSIDE_LIMITS, GUARD)
    assert_stays_stopped(rig)
    return figures


@row(13, "chunks jump by 1 rad to and fro")
def jumping(rig: FaultRig) -> Figures:
    """The arms follow as fast as they may and no faster."""
    sign = itertools.cycle((1.0, -1.0))

    def spoil(message: JointTrajectory) -> list[JointTrajectory]:
        by = next(sign)

        def change(positions: list[float]) -> None:
            positions[0] += by
            positions[9] += 0.3 * by

        return _spoil_points(change)(message)

    source = rig.prepare_source()
    rig.begin()
    rig.follow()
    source.spoil(spoil)
    rig.pause(2.0)
    source.spoil(as_they_are)
    rig.pause(0.5)
    assert_sound(rig, rig.record())
    return {}


def _shuffled() -> Spoil:
    """Every third chunk comes after the one that follows it, every chunk comes twice."""
    kept: list[JointTrajectory] = []

    def spoil(message: JointTrajectory) -> list[JointTrajectory]:
        kept.append(message)
        if len(kept) % 3 == 1:
            return []
        return [message, message, kept[-2]]

    return spoil


@row(24, "chunks come twice and out of order", named_ms=NAMED_MS + 2 * CHUNK_MS)
def shuffled(rig: FaultRig) -> Figures:
    """None is applied that is not newer than the last."""
    suffered = _suffer_chunks(rig, _shuffled(), Fault.CHUNK_OUT_OF_ORDER, None)
    assert rig.operator.motion["state"] == "following"
    return {"named_ms": suffered.named_ms(Fault.CHUNK_OUT_OF_ORDER, GUARD)}


@row(24, "chunks of observations 5 s ago", named_ms=NAMED_MS + CHUNK_MS, rest_ms=PLAN_MS + BRAKE_MS)
def too_old(rig: FaultRig) -> Figures:
    """None is applied; the plan ends and the arms hold."""

    def spoil(message: JointTrajectory) -> list[JointTrajectory]:
        message.header.stamp.sec -= 5
        return [message]

    source = rig.prepare_source()
    suffered = suffer(rig, lambda: source.spoil(spoil), Fault.CHUNK_OUT_OF_ORDER, GUARD, "holding")
    source.spoil(as_they_are)
    assert_resumes(rig)
    return suffered.figures(Fault.CHUNK_OUT_OF_ORDER, GUARD)


@row(24, "chunks from the future", named_ms=NAMED_MS + CHUNK_MS, rest_ms=PLAN_MS + BRAKE_MS)
def from_future(rig: FaultRig) -> Figures:
    """A clock that is ahead: none is applied."""

    def spoil(message: JointTrajectory) -> list[JointTrajectory]:
        message.header.stamp.sec += 5
        return [message]

    suffered = _suffer_chunks(rig, spoil, Fault.CHUNK_FROM_FUTURE, "holding")
    assert_resumes(rig)
    return suffered.figures(Fault.CHUNK_FROM_FUTURE, GUARD)


@row(39, "a thousand broken chunks a second", named_ms=NAMED_MS)
def flood(rig: FaultRig) -> Figures:
    """Named once a second, logged at most five lines a second, counted one by one; the arms are stopped."""
    source = rig.prepare_source()
    rig.begin()
    rig.follow()
    log = rig.log_of(GUARD)
    before = len(log.read_text().splitlines())
    message = source.chunk()
    _spoil_points(_set_first(math.nan))(message)
    source.pause()
    rig.pause(0.05)
    counted = int(rig.operator.motion.get("fault CHUNK_NOT_FINITE", 0))
    since_ns = source.flood(message, 2000, 2.0)
    rig.wait_state("stopped")
    rig.pause(1.0)
    lines = len(log.read_text().splitlines()) - before
    record = rig.record()
    assert_sound(rig, record)
    found = int(rig.operator.motion["fault CHUNK_NOT_FINITE"]) - counted
    assert 0 < found <= 2000
    assert lines <= 25, f"{lines} lines in three seconds"
    return {"named_ms": Suffered(record, since_ns).named_ms(Fault.CHUNK_NOT_FINITE, GUARD)}
