"""The last gate before the arms: whatever is asked for, what comes out can be done and ends at rest.

The limiter keeps the last command (position, velocity, acceleration) and moves it one period at a
time. Two rules make its output safe for every input:

* A step towards a moving target is the first period of ruckig's time-optimal interception, computed
  in the frame that moves with the target. In that frame the target stands still, so the arms never
  back away for a run-up, as they do when a target velocity is asked for in the robot's own frame;
  and since the frame does not accelerate, acceleration and jerk limits are the same in both.
* A step is taken only if braking from where it leads stays inside the joint limits. Otherwise the
  joint takes one period of the braking motion that the previous step has already proved. So there
  is always a way to rest that is known, computed and inside the limits, also when ruckig fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from ruckig import (
    ControlInterface,
    InputParameter,
    OutputParameter,
    Result,
    Ruckig,
    RuckigError,
    Synchronization,
    Trajectory,
)

from svam_ros.control.faults import Fault
from svam_ros.control.guard_state import WayToRest
from svam_ros.types import FloatArray, JointLimits

TARGET_SPEED_SHARE = 0.98
"""A target may move at this share of the allowed speed; the rest is left for catching up with it."""

TRUST_SHARE = 0.4
"""A target's velocity is trusted for this share of the time in which a joint gains its full speed.

Less, and a joint lags forever behind a target that moves steadily at three quarters of the allowed speed
(0.3 does); more, and behind a target that swings with four fifths of the allowed acceleration it ends up
swinging in opposite phase (1.0 does).
"""

SETTLED_RAD = 1e-3
"""So near to the place (rad, m), and so slow (a second), the way to it is over."""

POSITION_SLACK = 1e-9
"""Rounding that a braking motion may show beyond a limit (rad, m); outputs are clamped after it."""


class MotionState(NamedTuple):
    """Where every joint is and how it moves; arrays are ``(n,)``."""

    positions: FloatArray
    velocities: FloatArray
    accelerations: FloatArray


class MotionLimiter:
    """Moves a command towards targets under position, velocity, acceleration and jerk limits.

    Args:
        limits: what the joints may do.
        period_s: time between two commands.
        start: ``(n,)`` positions to start from, at rest; clamped into the limits.
    """

    def __init__(self, limits: JointLimits, period_s: float, start: FloatArray) -> None:
        self._limits = limits
        self._period_s = period_s
        self._speed_fraction = 1.0
        joints = len(limits.lower)
        self._interceptor = Ruckig(joints, period_s)
        self._interception_input = _ruckig_input(limits, ControlInterface.Position)
        self._interception = OutputParameter(joints)
        self._braker = Ruckig(joints)
        self._brake_input = _ruckig_input(limits, ControlInterface.Velocity)
        self.restart(start)

    @property
    def state(self) -> MotionState:
        """The last command. Its arrays are not to be written to."""
        return self._state

    @property
    def at_rest(self) -> bool:
        """The last command stands still, and so will the next unless a target is given."""
        return not (self._state.velocities.any() or self._state.accelerations.any())

    def restart(self, start: FloatArray) -> None:
        """Stand at ``start``, at rest."""
        zeros = np.zeros(len(self._limits.lower))
        positions = np.clip(start, self._limits.lower, self._limits.upper)
        self._state = MotionState(positions, zeros, zeros)
        self._brake: Trajectory | None = None
        self._brake_time_s = 0.0

    def limit_speed(self, fraction: float) -> None:
        """Intercept targets at no more than ``fraction`` (above 0, up to 1) of the velocity limits.

        Braking keeps the full acceleration, so a lower fraction never makes a stop longer.
        """
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"speed fraction is {fraction}, allowed is above 0 and up to 1")
        self._speed_fraction = fraction

    def track(self, target_positions: FloatArray, target_velocities: FloatArray) -> Fault | None:
        """Move one period towards where the targets will be at its end.

        Args:
            target_positions: ``(n,)`` at the end of this period.
            target_velocities: ``(n,)`` at the end of this period.

        Returns:
            ``None``, or why the arms braked for this period instead.
        """
        if not (np.isfinite(target_positions).all() and np.isfinite(target_velocities).all()):
            self.brake()
            return Fault.TARGET_NOT_FINITE
        candidate = self._intercept(*self._reachable(target_positions, target_velocities))
        if candidate is None or not self._take(candidate):
            self.brake()
            return Fault.MOTION_NOT_COMPUTABLE
        return None

    def settle(self, positions: FloatArray) -> bool:
        """Move one period towards ``(n,)`` a place to rest at; whether the rest of the way is for braking.

        A place outside the limits is approached up to them. The way is over also where the joints stand
        without acceleration: they can go no further. Being slow is not enough, for a joint that has to turn
        back stands still for an instant on its way.
        """
        self.limit_speed(1.0)
        self.track(positions, np.zeros_like(positions))
        way = self._state.positions - np.clip(positions, self._limits.lower, self._limits.upper)
        left = np.maximum(np.abs(way), np.abs(self._state.velocities))
        return self.at_rest or bool(left.max() < SETTLED_RAD)

    def brake(self) -> None:
        """Move one period along the proved way to rest; at rest, stay."""
        self._state = self._clamped(self._next_braking_state())
        self._brake_time_s += self._period_s

    def way_to_rest(self, spacing_s: float) -> WayToRest:
        """The braking motion that was proved with the last command, as points ``spacing_s`` apart."""
        left_s = 0.0 if self._brake is None else max(0.0, self._brake.duration - self._brake_time_s)
        after_s: FloatArray = spacing_s * np.arange(1.0, np.ceil(left_s / spacing_s) + 2.0)
        states = [self._clamped(self._braking_state(self._brake_time_s + time_s)) for time_s in after_s]
        positions = np.array([state.positions for state in states])
        velocities = np.array([state.velocities for state in states])
        return WayToRest(after_s, positions, velocities)

    def _take(self, candidate: MotionState) -> bool:
        """Go to ``candidate``, but brake the joints that could not stop inside their limits from there."""
        brake = self._brake_from(candidate)
        if brake is None:
            return False
        extrema = brake.position_extrema
        lowest = np.array([bound.min for bound in extrema])
        highest = np.array([bound.max for bound in extrema])
        unsafe = (lowest < self._limits.lower - POSITION_SLACK) | (
            highest > self._limits.upper + POSITION_SLACK
        )
        if unsafe.any():
            candidate = self._with_braking_joints(candidate, unsafe)
            brake = self._brake_from(candidate)
            if brake is None:
                return False
        self._state, self._brake, self._brake_time_s = self._clamped(candidate), brake, 0.0
        return True

    def _with_braking_joints(self, candidate: MotionState, braking: NDArray[np.bool_]) -> MotionState:
        rows = zip(self._next_braking_state(), candidate, strict=True)
        return MotionState(*(np.where(braking, proved, wanted) for proved, wanted in rows))

    def _next_braking_state(self) -> MotionState:
        """One period further along the braking motion that was proved when the last step was taken."""
        return self._braking_state(self._brake_time_s + self._period_s)

    def _braking_state(self, time_s: float) -> MotionState:
        zeros = np.zeros(len(self._limits.lower))
        if self._brake is None:
            return MotionState(self._state.positions, zeros, zeros)
        if time_s >= self._brake.duration:
            return MotionState(np.array(self._brake.at_time(self._brake.duration)[0]), zeros, zeros)
        return MotionState(*(np.array(row) for row in self._brake.at_time(time_s)))

    def _brake_from(self, state: MotionState) -> Trajectory | None:
        """The fastest motion from ``state`` to rest, or ``None`` where ruckig finds none."""
        given = self._brake_input
        given.current_position = state.positions.tolist()
        given.current_velocity = state.velocities.tolist()
        given.current_acceleration = state.accelerations.tolist()
        brake = Trajectory(len(state.positions))
        return brake if _succeeds(self._braker.calculate, given, brake) else None

    def _reachable(self, positions: FloatArray, velocities: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Targets moved inside the limits, and slowed so far that the joint can stop behind them."""
        positions = np.clip(positions, self._limits.lower, self._limits.upper)
        fastest = TARGET_SPEED_SHARE * self._speed_fraction * self._limits.velocity
        upwards = np.minimum(fastest, self._speed_that_stops_within(self._limits.upper - positions))
        downwards = np.minimum(fastest, self._speed_that_stops_within(positions - self._limits.lower))
        return positions, np.clip(self._trusted(positions, velocities), -downwards, upwards)

    def _trusted(self, positions: FloatArray, velocities: FloatArray) -> FloatArray:
        """The target's velocities, less of them the longer it will take to meet it.

        An interception assumes that the target keeps its velocity until they meet. The further away it is,
        the less its present velocity says about the place.
        """
        acceleration = self._limits.acceleration
        distance = np.abs(positions - velocities * self._period_s - self._state.positions)
        meeting_s = 2.0 * np.sqrt(distance / acceleration)
        trusted_s = TRUST_SHARE * self._limits.velocity / acceleration
        return velocities * (trusted_s / np.maximum(meeting_s, trusted_s))

    def _speed_that_stops_within(self, distance: FloatArray) -> FloatArray:
        """The speed from which a joint without acceleration comes to rest after ``distance``.

        Stopping from speed v takes v * sqrt(v / j) where the acceleration limit A is not reached
        (v <= A^2 / j), and v^2 / (2 A) + v A / (2 j) beyond; solved for v.
        """
        acceleration, jerk = self._limits.acceleration, self._limits.jerk
        ramp_time = acceleration / jerk
        short = np.cbrt(distance * distance * jerk)
        long = (
            0.5 * acceleration * (np.sqrt(ramp_time * ramp_time + 8.0 * distance / acceleration) - ramp_time)
        )
        return np.where(short <= acceleration * ramp_time, short, long)

    def _intercept(self, positions: FloatArray, velocities: FloatArray) -> MotionState | None:
        """One period of the fastest interception of the moving target, or ``None`` where ruckig fails."""
        given = self._interception_input
        behind = self._state.positions - (positions - velocities * self._period_s)
        given.current_position = behind.tolist()
        given.current_velocity = (self._state.velocities - velocities).tolist()
        given.current_acceleration = self._state.accelerations.tolist()
        fastest = self._speed_fraction * self._limits.velocity
        given.max_velocity = (fastest - velocities).tolist()
        given.min_velocity = (-fastest - velocities).tolist()
        if not _succeeds(self._interceptor.update, given, self._interception):
            return None
        candidate = MotionState(
            positions + self._interception.new_position,
            velocities + self._interception.new_velocity,
            np.array(self._interception.new_acceleration),
        )
        return candidate if all(np.isfinite(row).all() for row in candidate) else None

    def _clamped(self, state: MotionState) -> MotionState:
        return state._replace(positions=np.clip(state.positions, self._limits.lower, self._limits.upper))


def _ruckig_input(limits: JointLimits, interface: ControlInterface) -> InputParameter:
    """Acceleration and jerk limits, a target at rest at zero; each joint for itself: chunks keep step."""
    given = InputParameter(len(limits.lower))
    given.control_interface = interface
    given.synchronization = Synchronization.No
    given.max_acceleration = limits.acceleration.tolist()
    given.max_jerk = limits.jerk.tolist()
    return given


def _succeeds(compute: Callable[..., Result], *arguments: object) -> bool:
    """Run ruckig; a refused input is an answer here, because a tick must not raise."""
    try:
        result = compute(*arguments)
    except RuckigError:
        return False
    return result in (Result.Working, Result.Finished)
