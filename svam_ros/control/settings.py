"""What an operator may set about the guard, in one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from svam_ros.control.clocks import NS_PER_S


@dataclass(frozen=True)
class GuardSettings:
    """Rates, ages and tolerances of the guard; guard_node sets those that are its parameters.

    Raises:
        ValueError: a value is outside its range; the text names it, with what is allowed.
    """

    tick_rate_hz: float = 100.0
    """Set-points a second, 25 to 200 Hz: the command rate of the robot profile."""
    lookahead_ms: float = 0.0
    """How far ahead of a set-point's own time the chunk is read, 0 to 200 ms: the arms' known lag."""
    max_observation_age_ms: float = 800.0
    """A chunk whose observation is older on arrival is rejected, 50 to 5000 ms."""
    max_future_ms: float = 20.0
    """A chunk whose observation lies further in the future is rejected, 0 to 1000 ms."""
    chunk_tolerance_rad: float = 0.1
    """A chunk may exceed an arm joint's limit by this much and is clamped; beyond, it is rejected; 0 to 1."""
    chunk_tolerance_m: float = 0.03
    """The same for grippers, 0 to 0.1 m."""
    engage_tolerance_rad: float = 0.05
    """An arm joint may stand this far outside its limits when engaging, 0 to 0.2 rad."""
    engage_tolerance_m: float = 0.01
    """The same for grippers, 0 to 0.05 m."""
    ramp_speed_fraction: float = 0.2
    """Share of the velocity limits while the arms approach the chunk, 0.01 to 1."""
    ramp_done_rad: float = 0.02
    """The approach ends when every arm joint is this close to the chunk, 0.001 to 0.2 rad."""
    engage_ramp_ms: float = 3000.0
    """After an engage the approach keeps to its share for this long, 0 to 60000 ms."""
    resume_ramp_ms: float = 500.0
    """Then, and at once after a hold, it gains speed up to the full limits in this time, 1 to 10000 ms."""
    joint_state_hold_ms: float = 100.0
    """Joint states older than this make the arms hold, 10 to 2000 ms."""
    joint_state_stop_ms: float = 500.0
    """Joint states older than this stop the arms for good, 10 to 10000 ms; not below the value to hold."""
    catch_up_periods: int = 2
    """Set-points that a late wake-up may advance at most, 1 to 4."""
    restart_after_ms: float = 200.0
    """A wake-up later than this does not catch up but begins anew from rest, 20 to 1000 ms."""
    stop_silence_ms: float = 500.0
    """After a stop, how long the resting pose is repeated before the guard falls silent, 0 to 10000 ms."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, allowed is {low} to {high}")
        if self.joint_state_stop_ms < self.joint_state_hold_ms:
            raise ValueError(
                f"joint_state_stop_ms is {self.joint_state_stop_ms}, "
                f"it must not be below joint_state_hold_ms ({self.joint_state_hold_ms})"
            )

    @property
    def tick_period_ns(self) -> int:
        """Time between two set-points."""
        return round(NS_PER_S / self.tick_rate_hz)


_RANGES = {
    "tick_rate_hz": (25.0, 200.0),
    "lookahead_ms": (0.0, 200.0),
    "max_observation_age_ms": (50.0, 5000.0),
    "max_future_ms": (0.0, 1000.0),
    "chunk_tolerance_rad": (0.0, 1.0),
    "chunk_tolerance_m": (0.0, 0.1),
    "engage_tolerance_rad": (0.0, 0.2),
    "engage_tolerance_m": (0.0, 0.05),
    "ramp_speed_fraction": (0.01, 1.0),
    "ramp_done_rad": (0.001, 0.2),
    "engage_ramp_ms": (0.0, 60000.0),
    "resume_ramp_ms": (1.0, 10000.0),
    "joint_state_hold_ms": (10.0, 2000.0),
    "joint_state_stop_ms": (10.0, 10000.0),
    "catch_up_periods": (1, 4),
    "restart_after_ms": (20.0, 1000.0),
    "stop_silence_ms": (0.0, 10000.0),
}
