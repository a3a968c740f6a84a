"""A policy on a clock of its own: how many fresh steps a second the arms get, in any mode, at any latency.

The schedule is the policy's own; cameras, forward passes and arms are numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from svam_ros.control.chunk_schedule import ChunkSchedule, ScheduleSettings
from svam_ros.control.execution_mode import ExecutionMode
from svam_ros.types import Horizon

MS = 1_000_000
STEP_NS = 40 * MS
FRAME_PERIOD_NS = 33 * MS


def settings(
    mode: ExecutionMode,
    horizon: Horizon,
    *,
    replan_steps: int = 1,
    older_weight: float = 0.0,
    lead_ms: int = 0,
) -> ScheduleSettings:
    """Of two joints, an arm's and a gripper, at 25 Hz."""
    return ScheduleSettings(
        mode=mode,
        horizon=horizon,
        step_ns=STEP_NS,
        replan_steps=replan_steps,
        publish_lead_ns=lead_ms * MS,
        older_weight=older_weight,
        is_arm_joint=np.array([True, False]),
        frame_period_ns=FRAME_PERIOD_NS,
    )


@dataclass(frozen=True)
class Outcome:
    """Of one run."""

    fresh_hz: float
    """25 where no moment is without a step."""
    mean_age_ms: float
    """Of the observations behind the steps that were executed, when these were due."""
    looks: int
    """Forward passes."""


def run(
    mode: ExecutionMode,
    horizon: Horizon,
    forward_ms: Callable[[], float],
    camera_age_ms: Callable[[], float] = lambda: 0.0,
    seconds: float = 120.0,
) -> Outcome:
    """Look as soon as allowed, with one forward pass at a time.

    Args:
        mode: how late chunks are executed.
        horizon: predicted and executed steps.
        forward_ms: how long the next pass takes.
        camera_age_ms: of the next frame when it is looked at.
        seconds: of simulated time.
    """
    schedule = ChunkSchedule(settings(mode, horizon))
    now_ns, end_ns, looks = 0, round(seconds * 1e9), 0
    covered_until_ns, covered_ns = 0, 0
    executed: list[tuple[int, int]] = []
    while now_ns < end_ns:
        stamp_ns = now_ns - round(camera_age_ms() * MS)
        if not schedule.may_look(stamp_ns):
            now_ns += MS // 4
            continue
        looks += 1
        schedule.begin(stamp_ns, now_ns - stamp_ns, np.zeros(2))
        now_ns += round(forward_ms() * MS)
        placed = schedule.place(np.zeros((horizon.pred, 2)), stamp_ns, now_ns - stamp_ns, "lift")
        if placed is None:
            continue
        due_ns = stamp_ns + STEP_NS * (placed.first_step + 1 + np.arange(len(placed.actions)))
        assert due_ns[0] >= now_ns, "no step is sent that is past"
        if not mode.keeps_time:
            assert due_ns[0] >= covered_until_ns + STEP_NS // 2, "one chunk after the other"
        # The arms are led up to the first step for one step's length, and over half a one, as by the guard.
        gap_ns = int(due_ns[0]) - STEP_NS - covered_until_ns
        begins_ns = covered_until_ns if gap_ns <= STEP_NS // 2 else int(due_ns[0]) - STEP_NS
        from_ns = max(now_ns, begins_ns, covered_until_ns)
        covered_ns += max(0, int(due_ns[-1]) - from_ns)
        covered_until_ns = max(covered_until_ns, int(due_ns[-1]))
        while executed and executed[-1][0] > due_ns[0] - STEP_NS // 2:
            executed.pop()
        executed.extend((int(due), int(due) - stamp_ns) for due in due_ns)
    mean_age_ms = float(np.mean([age_ns for _, age_ns in executed])) / MS if executed else 0.0
    return Outcome(25.0 * covered_ns / now_ns, mean_age_ms, looks)
