"""The measured joints: checked, remembered, and watched for growing old.

Age is counted from the stamp, not from the arrival: a driver that has lost its arm may go on publishing
the last sample it got, again and again, and such a repetition is no news of the arm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import ARM_NAMES, Cobot
from svam_ros.control.chunk_admission import per_joint
from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.settings import GuardSettings
from svam_ros.types import ArmReading, FloatArray


@dataclass(frozen=True)
class _Sample:
    reading: ArmReading
    measured_ns: int
    """Steady time of its stamp."""


@dataclass(frozen=True)
class _Refusal:
    at_ns: int
    reason: str


class JointStateWatch:
    """Keeps the newest joint states that make sense, arm by arm, and says how old they are."""

    def __init__(self, cobot: Cobot, settings: GuardSettings) -> None:
        self._cobot = cobot
        self._settings = settings
        self._max_future_ns = round(settings.max_future_ms * NS_PER_MS)
        self._newest: dict[str, _Sample] = {}
        self._refusals: dict[str, _Refusal] = {}
        """Why an arm's last message was no news; gone when one is."""
        self._excused_until_ns = 0

    @property
    def positions(self) -> FloatArray | None:
        """``(14,)`` newest measured positions; ``None`` before both arms have reported."""
        if len(self._newest) < len(ARM_NAMES):
            return None
        return np.concatenate([self._newest[arm].reading.positions for arm in ARM_NAMES])

    def observe(self, arm: str, reading: ArmReading, ros_to_steady_ns: int, now_ns: int) -> Finding | None:
        """Remember ``reading``, unless it is malformed, from the future, or no newer than the last.

        A repetition is refused without a finding: healthy drivers send one now and then, when they
        publish faster than they measure. What grows old by it, :meth:`check` reports.
        """
        malformed = self._check_content(arm, reading)
        if malformed is not None:
            return malformed
        measured_ns = reading.stamp_ns + ros_to_steady_ns
        ahead_ns = measured_ns - now_ns
        if ahead_ns > self._max_future_ns:
            reason = f"the {arm} arm's are stamped {ahead_ns / NS_PER_MS:.0f} ms ahead: are clocks in step?"
            self._refusals[arm] = _Refusal(now_ns, reason)
            return Finding(Fault.JOINT_STATES_FROM_FUTURE, reason)
        if self._is_repetition(arm, reading, now_ns - ros_to_steady_ns):
            reason = f"the {arm} arm's driver repeats an old stamp: has it lost the arm?"
            self._refusals[arm] = _Refusal(now_ns, reason)
            return None
        self._newest[arm] = _Sample(reading, min(measured_ns, now_ns))
        self._refusals.pop(arm, None)
        return None

    def excuse(self, now_ns: int) -> None:
        """Time up to now is not held against the arms: nobody was listening."""
        self._excused_until_ns = now_ns

    def age_ms(self, now_ns: int) -> float | None:
        """Time since the arm measured longer ago was measured; ``None`` before both have reported."""
        if len(self._newest) < len(ARM_NAMES):
            return None
        return (now_ns - self._newest[self._older_arm()].measured_ns) / NS_PER_MS

    def check(self, now_ns: int) -> Finding | None:
        """``None`` while joint states of both arms are fresh, else whether they are stale or lost."""
        age_ms = self.age_ms(now_ns)
        if age_ms is None:
            return Finding(Fault.JOINT_STATES_LOST, "none have arrived yet; are the drivers up?")
        age_ms = min(age_ms, (now_ns - self._excused_until_ns) / NS_PER_MS)
        if age_ms > self._settings.joint_state_stop_ms:
            return Finding(Fault.JOINT_STATES_LOST, self._how_old(age_ms, now_ns))
        if age_ms > self._settings.joint_state_hold_ms:
            return Finding(Fault.JOINT_STATES_STALE, self._how_old(age_ms, now_ns))
        return None

    def obstacles_to_engage(self, now_ns: int) -> list[Finding]:
        """What about the measured joints forbids to begin."""
        age_ms, positions = self.age_ms(now_ns), self.positions
        if age_ms is None or positions is None:
            missing = " and ".join(arm for arm in ARM_NAMES if arm not in self._newest)
            reasons = [refusal.reason for refusal in self._refusals.values()] or ["are the drivers up?"]
            detail = f"none have arrived yet from the {missing} arm; {'; '.join(reasons)}"
            return [Finding(Fault.ENGAGE_WITHOUT_JOINT_STATES, detail)]
        if age_ms > self._settings.joint_state_hold_ms:
            detail = f"{self._how_old(age_ms, now_ns)} Allowed is {self._settings.joint_state_hold_ms:g} ms"
            return [Finding(Fault.ENGAGE_WITHOUT_JOINT_STATES, detail)]
        limits = self._cobot.limits
        tolerance = per_joint(
            self._cobot, self._settings.engage_tolerance_rad, self._settings.engage_tolerance_m
        )
        outside = (positions < limits.lower - tolerance) | (positions > limits.upper + tolerance)
        return [
            Finding(
                Fault.ENGAGE_OUTSIDE_LIMITS,
                f"{self._cobot.joint_names[joint]} is at {positions[joint]:.4g}, allowed is "
                f"{limits.lower[joint]:.4g} to {limits.upper[joint]:.4g}; move it back by hand",
            )
            for joint in np.flatnonzero(outside)
        ]

    def _check_content(self, arm: str, reading: ArmReading) -> Finding | None:
        names = self._cobot.joint_names[self._cobot.arm_slice(arm)]
        for name, row in (("positions", reading.positions), ("velocities", reading.velocities)):
            if row.shape != (len(names),):
                detail = f"{name} of the {arm} arm are {row.shape}, expected {(len(names),)}"
                return Finding(Fault.JOINT_STATES_MALFORMED, detail)
            if not np.isfinite(row).all():
                joint = names[int(np.argmin(np.isfinite(row)))]
                return Finding(Fault.JOINT_STATES_MALFORMED, f"{name} of {joint} is not finite")
        return None

    def _is_repetition(self, arm: str, reading: ArmReading, now_ros_ns: int) -> bool:
        if arm not in self._newest:
            return False
        newest_ns = self._newest[arm].reading.stamp_ns
        # After ROS time has been set back the newest stamp itself lies ahead, and says nothing more.
        return reading.stamp_ns <= newest_ns <= now_ros_ns + self._max_future_ns

    def _older_arm(self) -> str:
        return min(ARM_NAMES, key=lambda arm: self._newest[arm].measured_ns)

    def _how_old(self, age_ms: float, now_ns: int) -> str:
        """The age in words, with the reason where messages arrive that are no news."""
        arm = self._older_arm()
        refusal = self._refusals.get(arm)
        recent_ns = self._settings.joint_state_hold_ms * NS_PER_MS
        if refusal is not None and now_ns - refusal.at_ns <= recent_ns:
            return f"nothing new for {age_ms:.0f} ms; {refusal.reason}"
        return f"nothing from the {arm} arm for {age_ms:.0f} ms; is its driver up?"
