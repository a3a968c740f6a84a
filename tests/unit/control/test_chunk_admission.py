from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.control.chunk_admission import REMEMBERED_RUNS, ChunkAdmission
from svam_ros.control.faults import Fault
from svam_ros.control.settings import GuardSettings
from svam_ros.types import MAX_CHUNK_STEPS, ActionChunk

COBOT = load_cobot()
MS = 1_000_000
ROS_TO_STEADY_NS = -5_000 * MS
ENGAGED_NS = 10_000 * MS
NOW_NS = 20_000 * MS
SETTINGS = GuardSettings()


def chunk(age_ms: float = 100.0, **fields) -> ActionChunk:
    values = {
        "actions": np.tile(COBOT.home, (8, 1)),
        "observation_stamp_ns": NOW_NS - ROS_TO_STEADY_NS - round(age_ms * MS),
        "first_step": 2,
        "step_s": 0.04,
        "run_id": "a",
        "sequence": 5,
    }
    return ActionChunk(**{**values, **fields})


def with_value(value, joint=3, step=4):
    actions = np.tile(COBOT.home, (8, 1))
    actions[step, joint] = value
    return actions


@pytest.fixture
def admission() -> ChunkAdmission:
    admission = ChunkAdmission(COBOT, SETTINGS)
    admission.open(ENGAGED_NS)
    return admission


def fault_of(admission, candidate):
    finding = admission.check(candidate, ROS_TO_STEADY_NS, NOW_NS)
    return None if finding is None else finding.fault


def test_a_good_chunk_is_admitted(admission):
    assert fault_of(admission, chunk()) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"actions": np.zeros((0, 14))},
        {"actions": np.zeros((8, 13))},
        {"actions": np.zeros((8, 15))},
        {"actions": np.zeros(14)},
        {"actions": np.zeros((1, 8, 14))},
        {"actions": np.zeros((MAX_CHUNK_STEPS + 1, 14))},
        {"actions": np.zeros((8, 14), dtype=np.float32)},
        {"actions": np.zeros((8, 14), dtype=object)},
        {"actions": [[0.0] * 14]},
        {"actions": None},
        {"first_step": -1},
        {"first_step": MAX_CHUNK_STEPS + 1},
        {"observation_stamp_ns": 2**63},
        {"observation_stamp_ns": -(2**80)},
    ],
)
def test_a_malformed_chunk(admission, fields):
    assert fault_of(admission, chunk(**fields)) is Fault.CHUNK_MALFORMED


@pytest.mark.parametrize(
    ("actions", "kind"), [(np.zeros((8, 14), np.float32), "float32"), ([[0.0] * 14], "list")]
)
def test_actions_that_are_no_array_of_numbers_are_called_what_they_are(admission, actions, kind):
    finding = admission.check(chunk(actions=actions), ROS_TO_STEADY_NS, NOW_NS)
    assert finding.detail == f"actions are {kind}, expected float64"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("step", "joint"), [(0, 0), (7, 13), (4, 6)])
def test_a_chunk_that_is_not_finite(admission, value, step, joint):
    finding = admission.check(chunk(actions=with_value(value, joint, step)), ROS_TO_STEADY_NS, NOW_NS)
    assert finding.fault is Fault.CHUNK_NOT_FINITE
    assert COBOT.joint_names[joint] in finding.detail
    assert f"step {step}" in finding.detail


@pytest.mark.parametrize("step_s", [0.02, 0.0401, 0.0, -0.04, np.nan, np.inf])
def test_a_chunk_of_another_rate(admission, step_s):
    assert fault_of(admission, chunk(step_s=step_s)) is Fault.CHUNK_STEP_MISMATCH


@pytest.mark.parametrize(
    ("joint", "excess", "fault"),
    [
        (0, 0.09, None),
        (0, 0.11, Fault.CHUNK_OUTSIDE_LIMITS),
        (6, 0.02, None),
        (6, 0.04, Fault.CHUNK_OUTSIDE_LIMITS),
        (8, 1e300, Fault.CHUNK_OUTSIDE_LIMITS),
    ],
)
def test_positions_outside_the_limits(admission, joint, excess, fault):
    for value in (COBOT.limits.upper[joint] + excess, COBOT.limits.lower[joint] - excess):
        assert fault_of(admission, chunk(actions=with_value(value, joint))) is fault


def test_the_worst_joint_is_named(admission):
    actions = with_value(COBOT.limits.upper[2] + 0.2, 2)
    actions[6, 9] = COBOT.limits.upper[9] + 0.5
    finding = admission.check(chunk(actions=actions), ROS_TO_STEADY_NS, NOW_NS)
    assert COBOT.joint_names[9] in finding.detail
    assert "step 6" in finding.detail


@pytest.mark.parametrize(
    ("age_ms", "fault"),
    [
        (-20.0, None),
        (-21.0, Fault.CHUNK_FROM_FUTURE),
        (-1e6, Fault.CHUNK_FROM_FUTURE),
        (0.0, None),
        (800.0, None),
        (801.0, Fault.CHUNK_TOO_OLD),
        (9_999.0, Fault.CHUNK_TOO_OLD),
        (10_001.0, Fault.CHUNK_BEFORE_ENGAGE),
        (1e9, Fault.CHUNK_BEFORE_ENGAGE),
    ],
)
def test_age(admission, age_ms, fault):
    assert fault_of(admission, chunk(age_ms)) is fault


def test_nothing_is_admitted_while_closed(admission):
    admission.close()
    assert fault_of(admission, chunk()) is Fault.CHUNK_BEFORE_ENGAGE
    assert fault_of(ChunkAdmission(COBOT, SETTINGS), chunk()) is Fault.CHUNK_BEFORE_ENGAGE


@pytest.mark.parametrize(
    ("sequence", "age_ms", "fault"),
    [
        (6, 99.0, None),
        (6, 100.0, None),  # a second thought about the same observation
        (9, 50.0, None),  # chunks in between were lost
        (5, 100.0, Fault.CHUNK_OUT_OF_ORDER),
        (5, 50.0, Fault.CHUNK_OUT_OF_ORDER),
        (4, 50.0, Fault.CHUNK_OUT_OF_ORDER),
        (6, 101.0, Fault.CHUNK_OUT_OF_ORDER),
    ],
)
def test_order_within_a_run(admission, sequence, age_ms, fault):
    admission.admit(chunk())
    assert fault_of(admission, chunk(age_ms, sequence=sequence)) is fault


def test_a_newer_run_replaces_the_run_for_good(admission):
    admission.admit(chunk())
    newcomer = chunk(90.0, run_id="b", sequence=0)
    assert fault_of(admission, newcomer) is None
    admission.admit(newcomer)
    assert fault_of(admission, chunk(10.0, sequence=6)) is Fault.CHUNK_FROM_OTHER_RUN
    assert fault_of(admission, chunk(10.0, run_id="b", sequence=1)) is None


@pytest.mark.parametrize("age_ms", [100.0, 300.0])
def test_a_run_that_is_not_newer_is_foreign(admission, age_ms):
    admission.admit(chunk())
    assert fault_of(admission, chunk(age_ms, run_id="b", sequence=9)) is Fault.CHUNK_FROM_OTHER_RUN


def test_an_engage_forgets_the_runs(admission):
    admission.admit(chunk())
    admission.admit(chunk(90.0, run_id="b"))
    admission.open(ENGAGED_NS)
    assert fault_of(admission, chunk(95.0, sequence=0)) is None


def test_a_rejected_chunk_leaves_no_trace(admission):
    admission.admit(chunk())
    assert fault_of(admission, chunk(0.0, sequence=99, actions=with_value(np.nan))) is Fault.CHUNK_NOT_FINITE
    assert fault_of(admission, chunk(50.0, sequence=6)) is None


def test_memory_of_replaced_runs_is_bounded(admission):
    for index in range(3 * REMEMBERED_RUNS):
        admission.admit(dataclasses.replace(chunk(), run_id=f"run {index}"))
    assert len(admission._replaced_runs) == REMEMBERED_RUNS
