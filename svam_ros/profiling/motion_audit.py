"""How near a run's commands came to the limits, measured on what was really sent.

The guard limits by construction; this does not trust it. It takes recorded set-points, differences
them on the plan's uniform clock, which their stamps tell (so network jitter does not show as acceleration),
and compares with the limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import FloatArray, JointLimits

MAX_GAP_S = 0.1
"""Set-points farther apart than this are not differenced: the stream had paused."""

OFF_GRID = 0.1
"""A step that is not within this share of whole periods has moved the plan's clock: re-anchored.

A smaller share is ROS time being led after steady time, in which motion is planned: ``control/plan_clock.py``
slews by at most 7e-4. It is left out, since half a microsecond would be 8 rad/s3 where a joint moves at
0.6 rad/s and is told so 200 times a second.
"""


@dataclass(frozen=True)
class MotionAudit:
    """What one arm, or both, was told to do, against what it may do. Ratios: 1.0 is at the limit."""

    max_velocity_ratio: float | None
    """``None`` where no two set-points follow each other."""
    max_acceleration_ratio: float | None
    """``None`` where no three set-points follow each other."""
    max_jerk_ratio: float | None
    """``None`` where no four set-points follow each other."""
    max_limit_excess: float
    """Farthest that a set-point lay outside its position limits, rad or m; 0 when none did."""
    max_break_ratio: float | None
    """Largest displacement across a pause or re-anchoring, over what the velocity limit allows in that
    time (at least one period): shows a jump that differencing leaves out. ``None`` without breaks."""
    breaks: int
    non_finite: int
    """Numbers that were NaN or infinite; their set-points are left out of everything else."""
    set_points: int


def arm_limits(limits: JointLimits, joints: slice) -> JointLimits:
    """The part of the 14-joint ``limits`` that belongs to ``joints`` (``Cobot.arm_slice``)."""
    return JointLimits(
        lower=limits.lower[joints],
        upper=limits.upper[joints],
        velocity=limits.velocity[joints],
        acceleration=limits.acceleration[joints],
        jerk=limits.jerk[joints],
    )


def audit_commands(
    stamps_ns: NDArray[np.int64], positions: FloatArray, limits: JointLimits, period_s: float | None = None
) -> MotionAudit:
    """Audit the set-points of one arm.

    Args:
        stamps_ns: ``(n,)`` header stamps in the order of sending.
        positions: ``(n, joints)`` rad and m.
        limits: of the same joints (:func:`arm_limits`).
        period_s: between two set-points; default the median of the stamps' differences.

    Raises:
        ValueError: shapes do not fit together.
    """
    if positions.ndim != 2 or positions.shape != (len(stamps_ns), len(limits.lower)):
        raise ValueError(
            f"{len(stamps_ns)} stamps and limits of {len(limits.lower)} joints do not fit "
            f"set-points of shape {positions.shape}"
        )
    finite = np.isfinite(positions)
    whole = finite.all(axis=1)
    stamps_ns, points = stamps_ns[whole], positions[whole]
    steps_s = np.diff(stamps_ns) / 1e9
    period = period_s if period_s is not None else _usual_period_s(steps_s)
    joined = _joined(steps_s, period)
    planned_s = np.where(joined, np.round(steps_s / period) * period, steps_s)
    return MotionAudit(
        max_velocity_ratio=_ratio(planned_s, points, joined, limits.velocity, order=1),
        max_acceleration_ratio=_ratio(planned_s, points, joined, limits.acceleration, order=2),
        max_jerk_ratio=_ratio(planned_s, points, joined, limits.jerk, order=3),
        max_limit_excess=_limit_excess(points, limits),
        max_break_ratio=_break_ratio(steps_s, points, joined, limits),
        breaks=int(np.count_nonzero(~joined)),
        non_finite=int(np.count_nonzero(~finite)),
        set_points=len(positions),
    )


def worst_of(audits: list[MotionAudit]) -> MotionAudit:
    """The worst figure of several audits (both arms, many episodes); counts add up."""
    return MotionAudit(
        max_velocity_ratio=_worst([audit.max_velocity_ratio for audit in audits]),
        max_acceleration_ratio=_worst([audit.max_acceleration_ratio for audit in audits]),
        max_jerk_ratio=_worst([audit.max_jerk_ratio for audit in audits]),
        max_limit_excess=max((audit.max_limit_excess for audit in audits), default=0.0),
        max_break_ratio=_worst([audit.max_break_ratio for audit in audits]),
        breaks=sum(audit.breaks for audit in audits),
        non_finite=sum(audit.non_finite for audit in audits),
        set_points=sum(audit.set_points for audit in audits),
    )


def _worst(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _usual_period_s(steps_s: FloatArray) -> float:
    """The median of those that lead ahead; any time where none does."""
    forward = steps_s[steps_s > 0]
    return float(np.median(forward)) if forward.size else MAX_GAP_S


def _joined(steps_s: FloatArray, period_s: float) -> NDArray[np.bool_]:
    """``(n-1,)``: whether set-points ``i`` and ``i + 1`` lie on one uniform clock without a pause."""
    periods = steps_s / period_s
    on_grid = np.abs(periods - np.round(periods)) <= OFF_GRID
    return (steps_s > 0) & (steps_s <= MAX_GAP_S) & on_grid & (np.round(periods) >= 1)


def _ratio(
    steps_s: FloatArray, points: FloatArray, joined: NDArray[np.bool_], limit: FloatArray, order: int
) -> float | None:
    """Largest derivative of an ``order`` over its limit, from ``order + 1`` set-points in a row each.

    A divided difference is a mean of the derivative over its set-points, so it cannot exceed a limit that
    the motion keeps; steps may be unequal, where a set-point was lost.
    """
    if len(joined) < order:
        return None
    whole = np.lib.stride_tricks.sliding_window_view(joined, order).all(axis=1)
    if not whole.any():
        return None
    times_s = np.concatenate([[0.0], np.cumsum(steps_s)])
    derivative = points
    with np.errstate(divide="ignore", invalid="ignore"):  # stamps that stand still are not joined
        for rank in range(1, order + 1):
            spans_s = times_s[rank:] - times_s[:-rank]
            derivative = rank * np.diff(derivative, axis=0) / spans_s[:, None]
    return float((np.abs(derivative[whole]) / limit).max())


def _limit_excess(points: FloatArray, limits: JointLimits) -> float:
    if len(points) == 0:
        return 0.0
    return float(max((points - limits.upper).max(), (limits.lower - points).max(), 0.0))


def _break_ratio(
    steps_s: FloatArray, points: FloatArray, joined: NDArray[np.bool_], limits: JointLimits
) -> float | None:
    breaks = ~joined
    if not breaks.any():
        return None
    period = float(np.median(steps_s[joined])) if joined.any() else MAX_GAP_S
    allowed = np.maximum(steps_s[breaks], period)[:, None] * limits.velocity
    return float((np.abs(np.diff(points, axis=0)[breaks]) / allowed).max())
