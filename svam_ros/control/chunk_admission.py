"""Which chunks may move the arms: checked for content, origin, order and age before anything else."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.control.clocks import NS_PER_MS
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.settings import GuardSettings
from svam_ros.types import MAX_CHUNK_STEPS, ActionChunk, FloatArray

MAX_STAMP_NS = 2**62
"""Stamps stay so far inside 64 bits that sums with them do too."""

REMEMBERED_RUNS = 64
"""Replaced runs that are remembered so that their stragglers are known as such."""


@dataclass(frozen=True)
class _Newest:
    run_id: str
    sequence: int
    observation_stamp_ns: int


class ChunkAdmission:
    """Says of every chunk whether it may be used, and if not, why.

    A run is one activation of one policy process. The first chunk adopts its run; a chunk of another run
    replaces the run when its observation is newer than any seen, and the replaced run is refused from
    then on. So two policies can never take turns.
    """

    def __init__(self, cobot: Cobot, settings: GuardSettings) -> None:
        self._cobot = cobot
        self._settings = settings
        self._tolerance: FloatArray = per_joint(
            cobot, settings.chunk_tolerance_rad, settings.chunk_tolerance_m
        )
        self._newest: _Newest | None = None
        self._replaced_runs: deque[str] = deque(maxlen=REMEMBERED_RUNS)
        self._not_before_ns: int | None = None

    def open(self, not_before_ns: int) -> None:
        """Forget every run; admit observations made at ``not_before_ns`` (steady) or later."""
        self._newest = None
        self._replaced_runs.clear()
        self._not_before_ns = not_before_ns

    def close(self) -> None:
        """Admit nothing until :meth:`open`."""
        self._not_before_ns = None

    def check(self, chunk: ActionChunk, ros_to_steady_ns: int, now_ns: int) -> Finding | None:
        """``None`` when ``chunk`` may be used.

        Args:
            chunk: what arrived.
            ros_to_steady_ns: add this to a ROS stamp to get steady time.
            now_ns: steady time.
        """
        return (
            self._check_content(chunk)
            or self._check_order(chunk)
            or self._check_age(chunk, ros_to_steady_ns, now_ns)
        )

    def admit(self, chunk: ActionChunk) -> None:
        """Remember ``chunk`` as the newest that is in use."""
        if self._newest is not None and self._newest.run_id != chunk.run_id:
            self._replaced_runs.append(self._newest.run_id)
        self._newest = _Newest(chunk.run_id, chunk.sequence, chunk.observation_stamp_ns)

    def _check_content(self, chunk: ActionChunk) -> Finding | None:
        actions, joints = chunk.actions, len(self._cobot.joint_names)
        if not isinstance(actions, np.ndarray) or actions.dtype != np.float64:
            return Finding(Fault.CHUNK_MALFORMED, f"actions are {_kind(actions)}, expected float64")
        if actions.ndim != 2 or actions.shape[1] != joints or not 1 <= len(actions) <= MAX_CHUNK_STEPS:
            return Finding(
                Fault.CHUNK_MALFORMED,
                f"actions are {actions.shape}, expected (1 to {MAX_CHUNK_STEPS}, {joints})",
            )
        if not (0 <= chunk.first_step <= MAX_CHUNK_STEPS and abs(chunk.observation_stamp_ns) < MAX_STAMP_NS):
            return Finding(
                Fault.CHUNK_MALFORMED,
                f"first step {chunk.first_step} at stamp {chunk.observation_stamp_ns} ns, "
                f"allowed is step 0 to {MAX_CHUNK_STEPS}",
            )
        if not np.isfinite(actions).all():
            step, joint = np.argwhere(~np.isfinite(actions))[0]
            return Finding(
                Fault.CHUNK_NOT_FINITE,
                f"{self._cobot.joint_names[joint]} is {actions[step, joint]} in step {step}",
            )
        if not abs(chunk.step_s - self._cobot.control_period_s) <= 1e-6:
            return Finding(
                Fault.CHUNK_STEP_MISMATCH,
                f"steps of {chunk.step_s} s, the robot runs at {self._cobot.control_period_s} s",
            )
        return self._check_limits(actions)

    def _check_limits(self, actions: FloatArray) -> Finding | None:
        limits = self._cobot.limits
        excess = np.maximum(limits.lower - actions, actions - limits.upper) - self._tolerance
        if not (excess > 0.0).any():
            return None
        step, joint = np.unravel_index(int(np.argmax(excess)), excess.shape)
        return Finding(
            Fault.CHUNK_OUTSIDE_LIMITS,
            f"{self._cobot.joint_names[joint]} is {actions[step, joint]:.4g} in step {step}, "
            f"allowed is {limits.lower[joint]:.4g} to {limits.upper[joint]:.4g} "
            f"and {self._tolerance[joint]:.4g} beyond",
        )

    def _check_order(self, chunk: ActionChunk) -> Finding | None:
        newest = self._newest
        if chunk.run_id in self._replaced_runs:
            return Finding(Fault.CHUNK_FROM_OTHER_RUN, f"run {chunk.run_id} has been replaced")
        if newest is None:
            return None
        if chunk.run_id != newest.run_id:
            if chunk.observation_stamp_ns > newest.observation_stamp_ns:
                return None
            return Finding(
                Fault.CHUNK_FROM_OTHER_RUN,
                f"run {chunk.run_id} is not newer than run {newest.run_id}, which is in use",
            )
        # An equal stamp is allowed: a policy may think twice about one observation.
        if chunk.sequence <= newest.sequence or chunk.observation_stamp_ns < newest.observation_stamp_ns:
            return Finding(
                Fault.CHUNK_OUT_OF_ORDER,
                f"sequence {chunk.sequence} at stamp {chunk.observation_stamp_ns} ns came after "
                f"{newest.sequence} at {newest.observation_stamp_ns} ns",
            )
        return None

    def _check_age(self, chunk: ActionChunk, ros_to_steady_ns: int, now_ns: int) -> Finding | None:
        observed_ns = chunk.observation_stamp_ns + ros_to_steady_ns
        age_ms = (now_ns - observed_ns) / NS_PER_MS
        if self._not_before_ns is None or observed_ns < self._not_before_ns:
            return Finding(Fault.CHUNK_BEFORE_ENGAGE, "only what was observed after an engage moves the arms")
        if age_ms > self._settings.max_observation_age_ms:
            allowed = f"allowed is {self._settings.max_observation_age_ms:g} ms"
            return Finding(Fault.CHUNK_TOO_OLD, f"observed {age_ms:.0f} ms ago, {allowed}")
        if age_ms < -self._settings.max_future_ms:
            allowed = f"allowed is {self._settings.max_future_ms:g} ms"
            return Finding(
                Fault.CHUNK_FROM_FUTURE, f"observed {-age_ms:.0f} ms ahead, {allowed}: are clocks in step?"
            )
        return None


def per_joint(cobot: Cobot, arm_joint_value: float, gripper_value: float) -> FloatArray:
    """``(14,)`` with one value for arm joints and another for grippers."""
    return np.where(cobot.is_arm_joint, arm_joint_value, gripper_value)


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
