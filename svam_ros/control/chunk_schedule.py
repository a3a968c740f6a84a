"""When to look, and which steps of a prediction are sent for which moments: the policy's side of timing.

Reads no clock: times are stamps of one clock, that of the observations.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from svam_ros.control.execution_mode import ExecutionMode, steps_past
from svam_ros.control.overlap_average import OverlapAverage
from svam_ros.types import FloatArray, Horizon

REMEMBERED_LATENCIES = 100
"""Predictions whose latency the next one is expected from: some ten seconds."""

OFF_THE_WAY_RAD = 0.25
"""Arms that are farther than this from what was sent are not following it: nobody has engaged them, they are
held, or they stand elsewhere since. A servo that lags by 0.15 s stays below that at 1.6 rad/s."""


@dataclass(frozen=True)
class ScheduleSettings:
    """What a schedule needs to know of model, robot and operator."""

    mode: ExecutionMode
    horizon: Horizon
    step_ns: int
    """Time between two steps; step ``i`` is due ``(i + 1) * step_ns`` after its observation."""
    replan_steps: int
    """Where time is kept: observations lie at least this many steps apart, unless steps would run out."""
    publish_lead_ns: int
    """Time a published chunk takes to reach the guard."""
    older_weight: float
    """Of older predictions, where time is kept; see :class:`OverlapAverage`."""
    is_arm_joint: NDArray[np.bool_]
    """``(joints,)``: those that are averaged, and that show whether the arms follow."""
    frame_period_ns: int = 0
    """Time between two frames of the camera; 0 where one can be had at any moment."""
    first_latency_ns: int = 0
    """Expected before there is one to expect the next from."""


class PlacedSteps(NamedTuple):
    """Steps to send."""

    first_step: int
    """``actions[0]`` is due ``(first_step + 1) * step_ns`` after the observation."""
    actions: FloatArray
    """``(at most exec_horizon, joints)``."""


class ChunkSchedule:
    """The schedule of one run of chunks."""

    def __init__(self, settings: ScheduleSettings) -> None:
        self._settings = settings
        self._average = OverlapAverage(settings.older_weight, settings.step_ns, settings.is_arm_joint)
        self._latencies_ns: deque[int] = deque(maxlen=REMEMBERED_LATENCIES)
        self._last_look_ns: int | None = None
        self._sent_due_ns: NDArray[np.int64] = np.empty(0, np.int64)
        self._sent: FloatArray = np.empty((0, 0))
        self._last_sent_from_ns = 0

    @property
    def expected_latency_ns(self) -> int:
        """From a stamp to the arrival of its chunk: the slower of the last one and the 95th percentile."""
        if not self._latencies_ns:
            return self._settings.first_latency_ns
        usual = float(np.percentile(np.asarray(self._latencies_ns), 95.0))
        return max(round(usual), self._latencies_ns[-1])

    def may_look(self, stamp_ns: int) -> bool:
        """Whether an observation of this stamp is due."""
        last_ns, settings = self._last_look_ns, self._settings
        if last_ns is None or stamp_ns < last_ns - settings.horizon.pred * settings.step_ns:
            return True  # The first one; or the clock was set back.
        if settings.mode is ExecutionMode.SYNC:
            return stamp_ns >= max(self._sent_until_ns, last_ns + 1)
        if settings.mode is ExecutionMode.APPEND:
            return stamp_ns >= max(self._last_sent_from_ns, last_ns + 1)
        usual_ns = last_ns + settings.replan_steps * settings.step_ns
        latest_ns = self._sent_until_ns - self.expected_latency_ns - settings.step_ns
        # The frame nearest to the moment: the camera's clock does not tick in multiples of ours.
        return stamp_ns >= max(min(usual_ns, latest_ns) - settings.frame_period_ns // 2, last_ns + 1)

    def begin(self, observation_ns: int, age_ns: int, measured: FloatArray) -> FloatArray | None:
        """A prediction from this observation begins; the steps that are committed until it arrives.

        Args:
            observation_ns: its stamp.
            age_ns: of the observation, now.
            measured: ``(joints,)`` at the observation.

        Returns:
            ``(n, joints)`` for the first ``n`` steps after the observation in mode ``prefix``, and ``None``
            where nothing is committed or the mode has no use for it.
        """
        settings, last_ns = self._settings, self._last_look_ns
        if last_ns is not None and (observation_ns < last_ns or self._is_off(observation_ns, measured)):
            self._forget()
        self._last_look_ns = observation_ns
        if settings.mode is not ExecutionMode.PREFIX or len(self._sent) == 0:
            return None
        wanted = steps_past(max(self.expected_latency_ns, age_ns), settings.step_ns)
        due_ns = observation_ns + settings.step_ns * np.arange(
            1, min(wanted, settings.horizon.longest_prefix) + 1, dtype=np.int64
        )
        due_ns = due_ns[due_ns <= self._sent_until_ns]
        if len(due_ns) == 0 or due_ns[0] < self._sent_due_ns[0]:
            return None
        return self._sent_at(due_ns)

    def place(
        self, prediction: FloatArray, observation_ns: int, age_ns: int, instruction: str
    ) -> PlacedSteps | None:
        """Which steps are sent, and when they are due.

        Args:
            prediction: ``(pred_horizon, joints)`` finite.
            observation_ns: stamp of its observation.
            age_ns: of the observation now; the chunk arrives ``publish_lead_ns`` later.
            instruction: that it acts on.

        Returns:
            ``None`` where no step is left. What is returned counts as sent.
        """
        settings = self._settings
        latency_ns = age_ns + settings.publish_lead_ns
        self._latencies_ns.append(latency_ns)
        first = steps_past(latency_ns, settings.step_ns)
        if settings.mode.keeps_time:
            averaged = self._average.add(prediction, observation_ns, instruction)
            actions = averaged[first : first + settings.horizon.exec]
        else:
            # To the nearest step: too early by half a one as often as too late, so that nothing drifts.
            queued = round((self._sent_until_ns - observation_ns) / settings.step_ns)
            in_full = -(-latency_ns // settings.step_ns)  # The first step that has all its time left.
            first, actions = max(in_full, queued), prediction[: settings.horizon.exec]
        if len(actions) == 0:
            return None
        self._remember(observation_ns + settings.step_ns * (first + 1), actions)
        return PlacedSteps(first, actions)

    @property
    def _sent_until_ns(self) -> int:
        return int(self._sent_due_ns[-1]) if len(self._sent_due_ns) else 0

    def _sent_at(self, times_ns: NDArray[np.int64]) -> FloatArray:
        """``(n, joints)`` that were sent for these moments, within those that anything was sent for."""
        start_ns = self._sent_due_ns[0]
        at = (times_ns - start_ns).astype(np.float64)
        known = (self._sent_due_ns - start_ns).astype(np.float64)
        return np.stack([np.interp(at, known, column) for column in self._sent.T], axis=1)

    def _is_off(self, observation_ns: int, measured: FloatArray) -> bool:
        """The arms are not where they were sent."""
        if len(self._sent) == 0 or not self._settings.is_arm_joint.any():
            return False
        sent = self._sent_at(np.array([observation_ns]))[0]
        off = np.abs(sent - measured)[self._settings.is_arm_joint]
        return bool(off.max() > OFF_THE_WAY_RAD)

    def _remember(self, first_due_ns: int, actions: FloatArray) -> None:
        """What is sent replaces what was sent for the same moments and later."""
        due_ns = first_due_ns + self._settings.step_ns * np.arange(len(actions), dtype=np.int64)
        kept = self._sent_due_ns < first_due_ns
        if kept.any():
            # Of the past no more than a prefix can reach back to.
            kept[: -(self._settings.horizon.pred + self._settings.horizon.exec)] = False
            due_ns = np.concatenate([self._sent_due_ns[kept], due_ns])
            actions = np.concatenate([self._sent[kept], actions])
        self._sent_due_ns, self._sent = due_ns, actions
        self._last_sent_from_ns = first_due_ns - self._settings.step_ns

    def _forget(self) -> None:
        """What was sent is not what happens: the arms do not follow, or the clock was set back."""
        self._average.forget()
        self._sent_due_ns, self._sent, self._last_sent_from_ns = self._sent_due_ns[:0], self._sent[:0], 0
