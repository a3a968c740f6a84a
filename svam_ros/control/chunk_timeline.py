"""Chunks on one time line: which joint targets hold at which moment, although chunks come late.

A chunk is made from an observation and arrives some hundred milliseconds after it. Its steps are meant
for fixed moments counted from the observation; those already past on arrival are dropped, and the rest
replaces what an older chunk said about the same moments (mode ``aligned``). What has been committed,
that is, sent to the arms, is never touched.
"""

from __future__ import annotations

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.control.chunk_admission import ChunkAdmission
from svam_ros.control.chunk_curve import ChunkCurve, Reference, knot_velocities
from svam_ros.control.faults import Fault, Finding
from svam_ros.control.settings import GuardSettings
from svam_ros.types import ActionChunk


class ChunkTimeline:
    """Joins admitted chunks into one curve.

    Times are steady nanoseconds; nothing is remembered of ROS time but the observation stamps by which
    chunks are ordered.
    """

    def __init__(self, cobot: Cobot, settings: GuardSettings) -> None:
        self._limits = cobot.limits
        self._step_s = cobot.control_period_s
        self._step_ns = round(cobot.control_period_s * 1e9)
        self._linear = ~cobot.is_arm_joint
        self._admission = ChunkAdmission(cobot, settings)
        self._curve: ChunkCurve | None = None
        self.chunks_accepted = 0
        self.steps_clamped = 0
        """Steps that lay outside a joint limit, within the tolerance."""

    def open(self, not_before_ns: int) -> None:
        """Begin anew: no chunk is in force, and observations from ``not_before_ns`` on are welcome."""
        self._curve = None
        self._admission.open(not_before_ns)

    def close(self) -> None:
        """No chunk is in force and none is accepted until :meth:`open`."""
        self._curve = None
        self._admission.close()

    def accept(
        self, chunk: ActionChunk, ros_to_steady_ns: int, now_ns: int, committed_ns: int
    ) -> Finding | None:
        """Take a chunk in, or say why not.

        Args:
            chunk: what arrived.
            ros_to_steady_ns: add this to a ROS stamp to get steady time.
            now_ns: steady time.
            committed_ns: steady time up to which the curve has been acted on.
        """
        finding = self._admission.check(chunk, ros_to_steady_ns, now_ns)
        if finding is not None:
            return finding
        steps = self._curve_of(chunk, ros_to_steady_ns)
        if steps.end_ns <= committed_ns:
            late_ms = (committed_ns - steps.end_ns) / 1e6
            return Finding(Fault.CHUNK_LATE, f"its last step was due {late_ms:.0f} ms ago")
        self._admission.admit(chunk)
        self._curve = self._spliced(steps, committed_ns)
        self.chunks_accepted += 1
        outside = (chunk.actions < self._limits.lower) | (chunk.actions > self._limits.upper)
        self.steps_clamped += int(outside.any(axis=1).sum())
        return None

    def reference(self, at_ns: int) -> Reference | None:
        """What the chunks say about ``at_ns``; ``None`` while there are none."""
        return None if self._curve is None else self._curve.at(at_ns)

    def _curve_of(self, chunk: ActionChunk, ros_to_steady_ns: int) -> ChunkCurve:
        actions = np.clip(chunk.actions, self._limits.lower, self._limits.upper)
        times_ns = chunk.target_times_ns() + ros_to_steady_ns
        count = len(actions)
        return ChunkCurve(
            times_ns,
            actions,
            knot_velocities(actions, self._step_s),
            np.ones(count, dtype=np.bool_),
            np.full(count, chunk.observation_stamp_ns + ros_to_steady_ns, dtype=np.int64),
            self._linear,
        )

    def _spliced(self, steps: ChunkCurve, committed_ns: int) -> ChunkCurve:
        """The new steps, led up to by one segment of at most a step's length.

        The segment begins on the older chunk's curve, so that position and velocity are continuous. It is
        at least half a step long where the chunk allows, because a shorter one would turn a small
        difference between two chunks into a large velocity.
        """
        earliest_ns = committed_ns + self._step_ns // 2
        steps = steps.after(min(earliest_ns, steps.end_ns - 1))
        lead_ns = max(committed_ns, steps.start_ns - self._step_ns)
        if self._curve is not None and committed_ns <= self._curve.end_ns < lead_ns:
            # Chunks that follow one another are timed from observations of their own: up to half a step
            # between the end of one and the way up to the next is no reason to brake.
            bridged = lead_ns - self._curve.end_ns <= self._step_ns // 2
            lead_ns = self._curve.end_ns if bridged else lead_ns
        led_up_to = steps.with_lead_in(lead_ns)
        if self._curve is None:
            return led_up_to
        older = self._curve.from_time(committed_ns)
        if older.at(lead_ns).fresh:
            return older.split_at(lead_ns).then(steps)
        return older.before(lead_ns).then(led_up_to) if older.start_ns < lead_ns else led_up_to
