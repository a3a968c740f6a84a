"""Timing of a joint-space motion through waypoints: quintic moves that may overlap.

Each move adds its way along a quintic (zero velocity and acceleration at both ends), so the sum is
smooth to the second derivative even where a move starts before the one before it has ended.
Where overlapping moves add up to more than is allowed, the whole motion is slowed down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from svam_ros.types import FloatArray

_QUINTIC_PEAK_VELOCITY = 1.875
_QUINTIC_PEAK_ACCELERATION = 10.0 / 3.0**0.5
_GRID_S = 0.005


@dataclass(frozen=True)
class Waypoint:
    """Where to go next."""

    joints: FloatArray
    """``(14,)`` rad and m."""
    overlap: float = 0.0
    """Which share (0 to below 1) of the shorter of the two moves runs together with the move before."""


def time_motion(
    start: FloatArray,
    waypoints: list[Waypoint],
    velocity: FloatArray,
    acceleration: FloatArray,
    period_s: float,
    rest_s: float,
) -> FloatArray:
    """``(n, 14)`` targets, one every ``period_s``; row ``i`` is due ``(i + 1) * period_s`` after the start.

    Args:
        start: ``(14,)`` where the motion begins, at rest.
        waypoints: at least one; the motion ends at rest at the last.
        velocity: ``(14,)`` largest speeds.
        acceleration: ``(14,)`` largest accelerations.
        period_s: time between rows.
        rest_s: how long the last target is repeated.
    """
    points = [start, *(waypoint.joints for waypoint in waypoints)]
    ways = np.diff(np.stack(points), axis=0)
    durations = np.array([_shortest_duration(way, velocity, acceleration) for way in ways])
    begins = np.zeros(len(ways))
    for index in range(1, len(ways)):
        shared = waypoints[index].overlap * min(durations[index - 1], durations[index])
        begins[index] = begins[index - 1] + durations[index - 1] - shared
    end = float((begins + durations).max())
    grid = np.arange(0.0, end + _GRID_S, _GRID_S)
    path = _positions(start, ways, begins, durations, grid)
    speeds = np.gradient(path, _GRID_S, axis=0)
    speed_ratio = float((np.abs(speeds) / velocity).max())
    acceleration_ratio = float((np.abs(np.gradient(speeds, _GRID_S, axis=0)) / acceleration).max())
    stretch = max(1.0, speed_ratio, float(np.sqrt(acceleration_ratio)))
    rows = int(np.ceil((end * stretch + rest_s) / period_s))
    times = np.arange(1, rows + 1, dtype=np.float64) * period_s
    return _positions(start, ways, begins * stretch, durations * stretch, times)


def _shortest_duration(way: FloatArray, velocity: FloatArray, acceleration: FloatArray) -> float:
    distance = np.abs(way)
    by_velocity = (_QUINTIC_PEAK_VELOCITY * distance / velocity).max()
    by_acceleration = np.sqrt(_QUINTIC_PEAK_ACCELERATION * distance / acceleration).max()
    return max(float(by_velocity), float(by_acceleration), _GRID_S)


def _positions(
    start: FloatArray, ways: FloatArray, begins: FloatArray, durations: FloatArray, times: FloatArray
) -> FloatArray:
    phase = np.clip((times[:, None] - begins) / durations, 0.0, 1.0)
    share = phase**3 * (10.0 + phase * (6.0 * phase - 15.0))
    positions: FloatArray = start + share @ ways
    return positions
