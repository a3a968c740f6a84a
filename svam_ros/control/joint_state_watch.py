"""The measured joints: checked, remembered, and watched for growing old."""

from __future__ import annotations

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.control.chunk_admission import per_joint
from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.settings import GuardSettings
from svam_ros.types import ArmState, FloatArray


class JointStateWatch:
    """Keeps the newest joint states that make sense, and says how old they are."""

    def __init__(self, cobot: Cobot, settings: GuardSettings) -> None:
        self._cobot = cobot
        self._settings = settings
        self._arms: ArmState | None = None
        self._received_ns = 0
        self._excused_until_ns = 0

    @property
    def positions(self) -> FloatArray | None:
        """``(14,)`` newest measured positions; ``None`` before the first."""
        return None if self._arms is None else self._arms.positions

    def observe(self, arms: ArmState, received_ns: int) -> Finding | None:
        """Remember ``arms``; malformed ones are reported and do not count as having arrived."""
        expected = (len(self._cobot.joint_names),)
        for name, row in (("positions", arms.positions), ("velocities", arms.velocities)):
            if row.shape != expected:
                return Finding(Fault.JOINT_STATES_MALFORMED, f"{name} are {row.shape}, expected {expected}")
            if not np.isfinite(row).all():
                joint = self._cobot.joint_names[int(np.argmin(np.isfinite(row)))]
                return Finding(Fault.JOINT_STATES_MALFORMED, f"{name} of {joint} is not finite")
        self._arms, self._received_ns = arms, received_ns
        return None

    def excuse(self, now_ns: int) -> None:
        """Time up to now is not held against the arms: nobody was listening."""
        self._excused_until_ns = now_ns

    def age_ms(self, now_ns: int) -> float | None:
        """Time since joint states last arrived; ``None`` before the first."""
        return None if self._arms is None else (now_ns - self._received_ns) / NS_PER_MS

    def check(self, now_ns: int) -> Finding | None:
        """``None`` while joint states are fresh, else whether they are stale or lost."""
        silence_ms = (now_ns - max(self._received_ns, self._excused_until_ns)) / NS_PER_MS
        if silence_ms > self._settings.joint_state_stop_ms:
            return Finding(Fault.JOINT_STATES_LOST, f"nothing for {silence_ms:.0f} ms; are the drivers up?")
        if silence_ms > self._settings.joint_state_hold_ms:
            return Finding(Fault.JOINT_STATES_STALE, f"nothing for {silence_ms:.0f} ms")
        return None

    def obstacles_to_engage(self, now_ns: int) -> list[Finding]:
        """What about the measured joints forbids to begin."""
        age_ms, allowed_ms = self.age_ms(now_ns), self._settings.joint_state_hold_ms
        if self._arms is None or age_ms is None:
            return [Finding(Fault.ENGAGE_WITHOUT_JOINT_STATES, "none have arrived yet; are the drivers up?")]
        if age_ms > allowed_ms:
            detail = f"the last came {age_ms:.0f} ms ago, allowed is {allowed_ms:g} ms; are the drivers up?"
            return [Finding(Fault.ENGAGE_WITHOUT_JOINT_STATES, detail)]
        limits, positions = self._cobot.limits, self._arms.positions
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
