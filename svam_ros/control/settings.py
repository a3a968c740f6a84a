"""All that may be set about the guard, in one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from svam_ros.control.clocks import NS_PER_S
from svam_ros.parameters import Range, TunableGuardSettings, describe
from svam_ros.types import FASTEST_COMMAND_RATE_HZ, SLOWEST_COMMAND_RATE_HZ


@dataclass(frozen=True)
class GuardSettings(TunableGuardSettings):
    """Rates, ages and tolerances of the guard: those that are parameters of guard_node, and the rest.

    Raises:
        ParameterError: a value is outside its range; the text names it, with what is allowed.
    """

    tick_rate_hz: Annotated[float, Range(SLOWEST_COMMAND_RATE_HZ, FASTEST_COMMAND_RATE_HZ)] = 100.0
    """Set-points a second: the command rate of the robot profile."""
    lookahead_ms: Annotated[float, Range(0.0, 200.0)] = 0.0
    """How far ahead of a set-point's own time the chunk is read: the arms' known lag."""
    commit_ahead_ms: Annotated[float, Range(0.0, 200.0)] = 0.0
    """Set-points are computed this long before they are due, for outputs that send motions, not points."""
    max_future_ms: Annotated[float, Range(0.0, 1000.0)] = 20.0
    """Observations and joint states that are stamped further in the future are rejected."""
    chunk_tolerance_rad: Annotated[float, Range(0.0, 1.0)] = 0.1
    """A chunk may exceed an arm joint's limit by this much and is clamped; beyond, it is rejected."""
    chunk_tolerance_m: Annotated[float, Range(0.0, 0.1)] = 0.03
    """The same for grippers."""
    engage_tolerance_rad: Annotated[float, Range(0.0, 0.2)] = 0.05
    """An arm joint may stand this far outside its limits when engaging."""
    engage_tolerance_m: Annotated[float, Range(0.0, 0.05)] = 0.01
    """The same for grippers."""
    ramp_done_rad: Annotated[float, Range(0.001, 0.2)] = 0.02
    """The approach ends when every arm joint is this close to the chunk."""
    near_rad: Annotated[float, Range(0.0, 1.0)] = 0.15
    """A first set-point this close to every arm joint needs no slow approach after an engage."""
    engage_ramp_ms: Annotated[float, Range(0.0, 60000.0)] = 3000.0
    """After an engage farther away than that, the approach keeps to its share of the speed for this long."""
    resume_ramp_ms: Annotated[float, Range(1.0, 10000.0)] = 500.0
    """Then, and otherwise at once, it gains speed up to the full limits in this time."""
    broken_chunks_hold: Annotated[int, Range(1, 100)] = 2
    """Chunks in a row that are not finite or malformed, after which the arms hold until a sound one comes."""
    broken_chunks_stop: Annotated[int, Range(1, 100)] = 5
    """And after which they stop."""
    outside_chunks_stop: Annotated[int, Range(1, 100)] = 3
    """Chunks in a row that are rejected for positions outside the limits, after which the arms stop."""
    tracking_error_rad: Annotated[float, Range(0.01, 3.0)] = 0.15
    """An arm joint may be measured this far from all that was commanded within the lag."""
    tracking_lag_ms: Annotated[float, Range(0.0, 1000.0)] = 300.0
    """The servos' lag, generously: the simulated Cobot's is below 200 ms."""
    tracking_patience_ms: Annotated[float, Range(0.0, 1000.0)] = 200.0
    """A joint that is farther off for longer than this stops the arms where they are measured."""
    catch_up_periods: Annotated[int, Range(1, 400)] = 2
    """Set-points that a late wake-up may advance at most."""
    restart_after_ms: Annotated[float, Range(20.0, 2000.0)] = 200.0
    """A wake-up later than this does not catch up but begins anew from rest."""
    stop_silence_ms: Annotated[float, Range(0.0, 10000.0)] = 500.0
    """After a stop, how long the resting pose is repeated before the guard falls silent."""

    def __post_init__(self) -> None:
        for description in describe(type(self)):
            description.check(getattr(self, description.name))
        super().__post_init__()

    @property
    def tick_period_ns(self) -> int:
        """Time between two set-points."""
        return round(NS_PER_S / self.tick_rate_hz)
