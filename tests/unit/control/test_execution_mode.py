"""Which mode horizon and latency carry, and the arithmetic in what is refused."""

from __future__ import annotations

import pytest

from svam_ros.control.execution_mode import (
    ExecutionMode,
    ExecutionModeError,
    choose_mode,
    obstacle,
    steps_past,
)
from svam_ros.types import Horizon

MS = 1_000_000
STEP_NS = 40 * MS


@pytest.mark.parametrize(("latency_ms", "past"), [(0, 0), (40, 0), (41, 1), (80, 1), (307.6, 7), (320.1, 8)])
def test_a_step_is_past_once_its_moment_is(latency_ms, past):
    assert steps_past(round(latency_ms * MS), STEP_NS) == past


@pytest.mark.parametrize(
    ("wanted", "horizon", "latency_ms", "arithmetic"),
    [
        ("append", Horizon(8, 8), 321, "a chunk lasts 8 steps of 40 ms = 320 ms, and a latency of 321 ms"),
        ("aligned", Horizon(8, 8), 307.6, r"of 8 predicted steps 7 are past .* 7 \+ 8 > 8"),
        ("aligned", Horizon(16, 3), 130, "chunks come 4 steps apart with a latency of 130 ms, and last 3"),
        ("prefix", Horizon(16, 8), 100, "was not trained with committed steps"),
        ("prefix", Horizon(24, 8, 6), 300, "commits 7 steps, and the model was trained with at most 6"),
        ("prefix", Horizon(12, 8, 4), 205, r"of 12 predicted steps .* 5 \+ 6 > 12|commits 5 steps"),
    ],
)
def test_a_mode_that_cannot_be_carried_is_refused_with_the_arithmetic(
    wanted, horizon, latency_ms, arithmetic
):
    with pytest.raises(ExecutionModeError, match=arithmetic):
        choose_mode(wanted, horizon, round(latency_ms * MS), STEP_NS)


@pytest.mark.parametrize(
    ("horizon", "latency_ms", "best"),
    [
        (Horizon(16, 8, 6), 100, ExecutionMode.PREFIX),
        (Horizon(16, 8), 100, ExecutionMode.ALIGNED),
        (Horizon(16, 8, 2), 150, ExecutionMode.ALIGNED),
        (Horizon(8, 8), 307.6, ExecutionMode.APPEND),
        (Horizon(8, 8), 500, ExecutionMode.SYNC),
    ],
)
def test_auto_takes_the_best_that_is_carried(horizon, latency_ms, best):
    latency_ns = round(latency_ms * MS)
    assert choose_mode("auto", horizon, latency_ns, STEP_NS) is best
    assert choose_mode(best.value, horizon, latency_ns, STEP_NS) is best
    assert obstacle(ExecutionMode.SYNC, horizon, 100 * latency_ns, STEP_NS) is None
