"""What the referee saw of one trial, and what must hold for it whatever the fault was."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import ARM_NAMES, Cobot
from svam_ros.control.faults import Fault
from svam_ros.profiling.motion_audit import MotionAudit, arm_limits, audit_commands, worst_of
from svam_ros.profiling.verdicts import MAX_LIMIT_EXCESS

JUMP_NS = 50_000_000
NEAR = 50
"""Set-points."""
MOST_VELOCITY, MOST_ACCELERATION, MOST_JERK = 1.02, 1.05, 1.10
"""Of the limits, by differences of what was sent."""
STILL_RAD = 1e-4
"""Arms that stay this near to where they end are at rest."""


@dataclass(frozen=True)
class Track:
    """Positions of one arm over time."""

    heard_ns: NDArray[np.int64]
    stamp_ns: NDArray[np.int64]
    positions: NDArray[np.float64]
    """``(n, 7)`` rad, m."""


@dataclass(frozen=True)
class TrialRecord:
    """Commands and states of both arms, statuses and chunks, with the steady time they were heard at."""

    commands: dict[str, Track]
    states: dict[str, Track]
    statuses: list[dict[str, Any]]
    chunks: list[dict[str, Any]]
    malformed: int

    @classmethod
    def load(cls, path: Path) -> TrialRecord:
        """What the referee saved at ``path``."""
        rest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz")) as arrays:

            def tracks(what: str) -> dict[str, Track]:
                return {arm: _track(arrays, f"{what}_{arm}") for arm in ARM_NAMES}

            return cls(
                tracks("command"), tracks("state"), rest["statuses"], rest["chunks"], rest["malformed"]
            )

    def audit(self, cobot: Cobot) -> MotionAudit:
        """Commands of both arms against the limits."""
        return worst_of(
            [
                audit_commands(
                    track.stamp_ns, track.positions, arm_limits(cobot.limits, cobot.arm_slice(arm))
                )
                for arm, track in self.commands.items()
            ]
        )

    def rejoined(self) -> TrialRecord:
        """The same where ROS time never jumped: commands behind a jump are stamped as if time had gone on."""
        commands = {arm: replace(track, stamp_ns=_rejoined(track)) for arm, track in self.commands.items()}
        return replace(self, commands=commands)

    def violations(self, cobot: Cobot) -> list[str]:
        """Of what must hold whatever happens: finite, inside the limits, no faster than allowed, no steps."""
        audit = self.audit(cobot)
        ratios = {
            "velocity": (audit.max_velocity_ratio, MOST_VELOCITY),
            "acceleration": (audit.max_acceleration_ratio, MOST_ACCELERATION),
            "jerk": (audit.max_jerk_ratio, MOST_JERK),
            "step across a pause": (audit.max_break_ratio, MOST_VELOCITY),
        }
        found = [
            f"{name} {ratio:.3f} of its limit"
            for name, (ratio, allowed) in ratios.items()
            if ratio is not None and ratio > allowed
        ]
        if audit.max_limit_excess > MAX_LIMIT_EXCESS:
            found.append(f"{audit.max_limit_excess:.4f} outside the position limits")
        if audit.non_finite or self.malformed:
            found.append(f"{audit.non_finite} numbers not finite, {self.malformed} set-points malformed")
        return found

    def named_ms(self, fault: Fault, by: str, since_ns: int) -> list[float]:
        """When ``/diagnostics`` of a node named the fault as new, ms after ``since_ns``."""
        times, before = [], ""
        for status in self.statuses:
            if status["name"] != by:
                continue
            values = status["values"]
            stands = values["fault"] == fault.name
            if (stands and before != fault.name) or fault.name in values["found"].split():
                times.append((status["heard_ns"] - since_ns) / 1e6)
            before = values["fault"]
        return [ms for ms in times if ms >= 0.0]

    def rest_ms(self, since_ns: int, arm: str | None = None) -> float:
        """When the measured arms came to the rest in which the record ends, ms after ``since_ns``."""
        latest = 0.0
        for name in ARM_NAMES if arm is None else (arm,):
            track = self.states[name]
            off = np.abs(track.positions - track.positions[-1]).max(axis=1) > STILL_RAD
            moving = track.heard_ns[off]
            if len(moving):
                latest = max(latest, (int(moving[-1]) - since_ns) / 1e6)
        return latest

    def peak_speed_ratio(self, cobot: Cobot, since_ns: int, until_ns: int) -> float:
        """Largest commanded speed in that time over its limit; arm joints only."""
        worst = 0.0
        for arm, track in self.commands.items():
            rows = (track.heard_ns >= since_ns) & (track.heard_ns <= until_ns)
            steps_s = np.diff(track.stamp_ns[rows]) / 1e9
            speeds = np.abs(np.diff(track.positions[rows], axis=0)) / np.maximum(steps_s, 1e-9)[:, None]
            limits = cobot.limits.velocity[cobot.arm_slice(arm)]
            if len(speeds):
                worst = max(worst, float((speeds / limits)[:, :6].max()))
        return worst


def _rejoined(track: Track) -> NDArray[np.int64]:
    """Stamps without the jumps of their clock, which nothing that was heard took part in.

    How far it jumped is the difference of what stamps were ahead before and after; steps are whole periods.
    """
    steps_ns = np.diff(track.stamp_ns)
    ahead_ns = track.stamp_ns - track.heard_ns
    period_ns = int(np.median(steps_ns))
    for index in np.flatnonzero(np.abs(np.diff(ahead_ns)) > JUMP_NS):
        before, after = ahead_ns[max(0, index - NEAR) : index + 1], ahead_ns[index + 1 : index + 1 + NEAR]
        jumped_ns = np.median(after) - np.median(before)
        steps_ns[index] = max(1, round((steps_ns[index] - jumped_ns) / period_ns)) * period_ns
    return track.stamp_ns[0] + np.concatenate([[0], np.cumsum(steps_ns)])


def _track(arrays: Any, name: str) -> Track:
    count = len(arrays[f"{name}_heard_ns"])
    return Track(
        arrays[f"{name}_heard_ns"].astype(np.int64),
        arrays[f"{name}_stamp_ns"].astype(np.int64),
        arrays[f"{name}_positions"].reshape(count, 7).astype(np.float64),
    )
