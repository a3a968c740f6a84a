"""How the driver of one Piper arm obeys: message checks, quirks, and the set-points its motors follow.

The driver takes commands shaped like ``sensor_msgs/JointState`` and moves a set-point towards the
newest one with limited speed and acceleration; when commands stop, it stays at the last. With
``quirks`` it mistreats malformed messages as AgileX's own driver does (a missing joint is driven to
0 rad, the gripper is read by index and without its sign); without, it refuses and counts them.

One thing is kinder than reality: a disabled arm holds its pose, where real motors let go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from svam_ros.types import FloatArray

DRIVER_SPEED = np.array([3.0] * 6 + [0.35])
"""``(7,)`` rad/s and m/s: ceilings configured in the motor controllers, above what
``calibration/cobot.yaml`` lets us ask for."""
DRIVER_ACCELERATION = np.array([5.0] * 6 + [3.0])
"""``(7,)`` rad/s^2 and m/s^2: read back from the firmware of real arms."""

_LARGEST_POSITION = 3.5
_STREAM_GAP_S = 0.08
"""Set-points further apart than this are single moves, not samples of one motion."""
_VELOCITY_FILTER_S = 0.02
_CATCH_UP_S = 0.02


@dataclass(frozen=True)
class JointCommand:
    """The fields of a ``sensor_msgs/JointState`` that a driver reads."""

    names: Sequence[str]
    positions: Sequence[float]
    velocities: Sequence[float] = ()
    """Entry 6 is no velocity to most drivers: other than 0 it is the arm's speed in percent."""
    efforts: Sequence[float] = ()
    """Entry 6 is the gripper's force; the simulated gripper's force is fixed."""


@dataclass(frozen=True)
class DriverReport:
    """What the driver publishes of its arm, in the units of its messages."""

    positions: FloatArray
    """``(7,)``."""
    velocities: FloatArray
    """``(7,)``, or ``(6,)`` with quirks: the real driver leaves the gripper's out."""
    efforts: FloatArray
    """``(7,)`` N m and N."""


@dataclass(frozen=True)
class DriverSettings:
    """What differs between the drivers of the Cobot family."""

    joint_names: tuple[str, ...]
    """Seven names as its messages carry them, the gripper last."""
    quirks: bool = False
    metres_per_unit: float = 1.0
    """Metres of gripper opening for one unit in a message."""
    gripper_upper_m: float | None = None
    """The opening commands are clamped to, 0.08 in older drivers; ``None`` for the robot's limit."""
    reads_speed_percent: bool = True
    """Whether ``velocity[6]`` is the arm's speed in percent; newer drivers take it as a velocity."""
    enabled_at_start: bool = True


class SetPointFollower:
    """Moves a 7-vector towards a target that is streamed to it, within speed and acceleration.

    The speed of the stream is fed forward, so that a moving target is followed without lag; a
    target that jumps is approached as fast as braking in time allows.
    """

    def __init__(self, start: FloatArray) -> None:
        self.position = start.copy()
        self.velocity = np.zeros(7)
        self._target = start.copy()
        self._target_velocity = np.zeros(7)
        self._since_target_s = np.inf

    def aim(self, target: FloatArray) -> None:
        """Take ``(7,)`` as the newest target."""
        elapsed = self._since_target_s
        if 0.0 < elapsed <= _STREAM_GAP_S:
            share = min(1.0, elapsed / _VELOCITY_FILTER_S)
            self._target_velocity += share * ((target - self._target) / elapsed - self._target_velocity)
            self._since_target_s = 0.0
        elif elapsed > _STREAM_GAP_S:
            self._target_velocity = np.zeros(7)
            self._since_target_s = 0.0
        self._target = target.copy()

    def advance(self, duration_s: float, speed_share: float) -> FloatArray:
        """``(7,)`` set-point after ``duration_s`` at ``speed_share`` (0 to 1) of the top speed."""
        self._since_target_s += duration_s
        if self._since_target_s > _STREAM_GAP_S:
            self._target_velocity = np.zeros(7)
        error = self._target - self.position
        distance = np.abs(error)
        braking = np.sqrt(2.0 * DRIVER_ACCELERATION * distance)
        approach = np.sign(error) * np.minimum(braking, distance / _CATCH_UP_S)
        top = DRIVER_SPEED * speed_share
        wanted = np.clip(self._target_velocity + approach, -top, top)
        change = DRIVER_ACCELERATION * duration_s
        self.velocity += np.clip(wanted - self.velocity, -change, change)
        self.position += self.velocity * duration_s
        return self.position


class ArmDriver:
    """The driver of one arm: what it accepts, what it does with it, what it reports."""

    def __init__(
        self, settings: DriverSettings, lower: FloatArray, upper: FloatArray, start: FloatArray
    ) -> None:
        """A driver whose arm stands at ``start``; all arrays are ``(7,)``.

        Raises:
            ValueError: the settings do not name seven different joints.
        """
        if len(set(settings.joint_names)) != 7:
            raise ValueError(f"a driver needs 7 different joint names, got {settings.joint_names}")
        self.settings = settings
        self.enabled = settings.enabled_at_start
        self.refused: Counter[str] = Counter()
        """Messages that moved nothing, by reason."""
        self.accepted = 0
        self._lower = lower.copy()
        self._upper = upper.copy()
        if settings.gripper_upper_m is not None:
            self._upper[-1] = settings.gripper_upper_m
        self._follower = SetPointFollower(start)
        self._speed_percent = 100.0

    @property
    def set_points(self) -> FloatArray:
        """``(7,)`` what the motors are held to now, rad and m."""
        return self._follower.position.copy()

    def enable(self, enabled: bool) -> None:
        """Let commands act, or not. With quirks the gripper is closed at either, as the real one does."""
        self.enabled = enabled
        if self.settings.quirks:
            self._follower.aim(np.append(self._follower.position[:6], 0.0))

    def receive(self, command: JointCommand) -> bool:
        """Take a command as the newest set-point; ``False`` where it was refused (see ``refused``)."""
        reason = self._reason_to_refuse(command)
        if reason:
            self.refused[reason] += 1
            return False
        self.accepted += 1
        percent = self._speed_field(command)
        self._speed_percent = 100.0 if percent == 0.0 else float(np.clip(percent, 1.0, 100.0))
        self._follower.aim(np.clip(self._targets(command), self._lower, self._upper))
        return True

    def advance(self, duration_s: float) -> FloatArray:
        """``(7,)`` rad and m that the joint servos shall hold after ``duration_s``."""
        return self._follower.advance(duration_s, self._speed_percent / 100.0)

    def report(self, positions: FloatArray, velocities: FloatArray, efforts: FloatArray) -> DriverReport:
        """The measured ``(7,)`` arrays, rad and m, as this driver's messages carry them."""
        unit = np.append(np.ones(6), 1.0 / self.settings.metres_per_unit)
        reported = velocities * unit
        return DriverReport(
            positions * unit, reported[:6] if self.settings.quirks else reported, efforts.copy()
        )

    def _speed_field(self, command: JointCommand) -> float:
        """Speed in percent as commanded, 0 where the command leaves it to the driver."""
        if not self.settings.reads_speed_percent or len(command.velocities) != 7:
            return 0.0
        return float(command.velocities[6])

    def _targets(self, command: JointCommand) -> FloatArray:
        by_name = dict(zip(command.names, command.positions, strict=False))
        values = np.array([by_name.get(name, 0.0) for name in self.settings.joint_names])
        if self.settings.quirks:
            values[6] = abs(command.positions[6]) if len(command.positions) >= 7 else 0.0
        values[6] *= self.settings.metres_per_unit
        return values

    def _reason_to_refuse(self, command: JointCommand) -> str:
        if not self.enabled:
            return "disabled"
        positions = np.asarray(command.positions, dtype=np.float64)
        if not np.all(np.isfinite(positions)):
            return "not finite"
        if np.any(np.abs(positions) > _LARGEST_POSITION):
            return "position above 3.5"
        return "" if self.settings.quirks else self._malformed(command)

    def _malformed(self, command: JointCommand) -> str:
        """What the real driver would swallow silently."""
        if sorted(command.names) != sorted(self.settings.joint_names):
            return "joint names"
        if len(command.positions) != 7:
            return "number of positions"
        if len(command.velocities) not in (0, 7) or len(command.efforts) not in (0, 7):
            return "number of velocities or efforts"
        if not 0.0 <= self._speed_field(command) <= 100.0:
            return "speed percent"
        opening = self._targets(command)[6]
        if not -1e-6 <= opening <= self._upper[-1] + 1e-6:
            return "gripper opening"
        return ""
