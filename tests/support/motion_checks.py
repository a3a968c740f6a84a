"""What must hold for everything that was sent to the arms: the same bounds that the report judges by."""

from __future__ import annotations

import numpy as np

from svam_ros.cobot import ARM_NAMES
from svam_ros.nodes.command_log import CommandLog
from svam_ros.profiling.verdicts import MAX_JERK_RATIO, MAX_LIMIT_EXCESS, MAX_LIMIT_RATIO
from svam_ros.types import FloatArray


def assert_within_limits(log: CommandLog) -> None:
    """Finite, inside the limits, no faster than allowed, and no jump across pauses."""
    audit = log.audit()
    assert audit.set_points > 50
    assert (audit.non_finite, log.malformed) == (0, 0)
    assert audit.max_limit_excess <= MAX_LIMIT_EXCESS
    assert audit.max_velocity_ratio <= MAX_LIMIT_RATIO
    assert audit.max_acceleration_ratio <= MAX_LIMIT_RATIO
    assert audit.max_jerk_ratio <= MAX_JERK_RATIO
    assert audit.max_break_ratio is None or audit.max_break_ratio <= MAX_LIMIT_RATIO


def assert_came_to_rest(log: CommandLog) -> None:
    """The last set-points of each arm ask for no motion; the very last one may have got lost on its way."""
    for arm in ARM_NAMES:
        assert speeds(log, arm)[-1] < 0.02


def speeds(log: CommandLog, arm: str) -> FloatArray:
    """Of the fastest joint of an arm from set-point to set-point, rad/s; some profiles send no velocities."""
    readings = log.readings(arm)
    positions = np.array([reading.positions[:6] for reading in readings])
    spacing_s = np.diff([reading.stamp_ns for reading in readings]) / 1e9
    fastest: FloatArray = np.abs(np.diff(positions, axis=0)).max(axis=1) / spacing_s
    return fastest
