"""The inference loop without ROS: an engine that we control, and ROS time from a variable."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from support.fake_cobot import wait_for

from svam_ros.cobot import load_cobot
from svam_ros.control.camera_watch import SUSPECT_FRAMES, CameraWatch, FrameTraits
from svam_ros.control.chunk_schedule import ChunkSchedule, ScheduleSettings
from svam_ros.control.execution_mode import ExecutionMode
from svam_ros.control.faults import Fault
from svam_ros.engines.policy_engine import Prediction, PredictionRefused
from svam_ros.nodes.inference_loop import InferenceLoop, InferenceSettings, PendingFrame
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ArmReading, CameraFrame, Horizon

MS = 1_000_000
SOUND = FrameTraits(0, 127.0)
STEP_MS = 40


class Engine:
    """Predicts its step indices; may be made slow, wrong, or broken."""

    name = model_name = "fake"
    horizon, step_s, forward_s = Horizon(16, 8, 4), STEP_MS / 1e3, 0.0

    def __init__(self) -> None:
        self.observations, self.prefixes = [], []
        self.behaviour = lambda: None
        self.actions = np.arange(16.0)[:, None] * np.ones(14)

    def warm_up(self) -> None: ...

    def set_instruction(self, text: str) -> None: ...

    def infer(self, observation, prefix=None) -> Prediction:
        self.observations.append(observation)
        self.prefixes.append(prefix)
        self.behaviour()
        return Prediction(self.actions.copy(), {"backbone": 1.0}, "digest")

    def close(self) -> None: ...


class Bench:
    def __init__(self, mode: ExecutionMode = ExecutionMode.ALIGNED, longest_pass_s: float = 5.0) -> None:
        self.engine = Engine()
        self.now_ns = 1_000_000 * MS
        self.chunks, self.timings, self.reports = [], [], []
        settings = InferenceSettings("run", 100 * MS, 50.0, longest_pass_s)
        mask = np.ones(14, dtype=np.bool_)
        schedule = ChunkSchedule(
            ScheduleSettings(mode, self.engine.horizon, STEP_MS * MS, 5, 10 * MS, 0.5, mask)
        )
        self.loop = InferenceLoop(
            self.engine, settings, schedule, CameraWatch(load_cobot()),
            lambda: self.now_ns, self.chunks.append, self.timings.append,
            self.reports.append,
        )  # fmt: skip
        self.loop.set_instruction("lift")
        self.loop.start()

    def frame(self, age_ms: float = 20.0, decode=None, traits=None) -> None:
        """A frame of the given age, and states of both arms before and after it."""
        stamp = self.now_ns - round(age_ms * MS)
        for arm in ("left", "right"):
            for offset in (-3, 2):
                self.loop.add_reading(arm, ArmReading(np.zeros(7), np.zeros(7), stamp + offset * MS))
        decoded = CameraFrame(np.zeros((4, 4, 3), np.uint8), stamp)
        self.loop.add_frame(PendingFrame(stamp, traits or SOUND, decode or (lambda: decoded)))


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.loop.stop()


def test_steps_that_are_past_when_the_guard_gets_them_are_left_out(bench):
    bench.frame(age_ms=95.0)
    wait_for(lambda: bench.timings, 5.0)
    # 95 ms of age and 10 ms of lead: steps due at 40 and 80 ms are past, the one at 120 ms is not.
    assert bench.chunks[0].first_step == 2
    assert np.array_equal(bench.chunks[0].actions[:, 0], np.arange(2, 10))
    assert bench.timings[0].observation_age_ms == pytest.approx(95.0)
    assert bench.timings[0].input_digest == "digest"
    assert {"backbone", "preprocess", "publish", "total"} <= set(bench.timings[0].stages_ms)


def test_a_prediction_that_is_wholly_past_is_counted_and_not_published(bench):
    bench.engine.behaviour = lambda: setattr(bench, "now_ns", bench.now_ns + 700 * MS)
    bench.frame()
    wait_for(lambda: bench.loop.faults[Fault.PREDICTION_LATE] == 1, 5.0)
    assert bench.chunks == []


def test_numbers_that_are_not_finite_are_not_published(bench):
    bench.engine.actions[3, 3] = np.nan
    bench.frame()
    wait_for(lambda: bench.loop.faults[Fault.PREDICTION_NOT_FINITE] == 1, 5.0)
    assert bench.chunks == []


def test_older_predictions_count_in_the_steps_they_reach_and_spoiled_ones_never(bench):
    actions = 1e-3 * np.arange(33.0)[:, None] * np.ones(14)  # near enough to arms that stand at 0
    bench.engine.actions = actions[:16].copy()
    bench.frame(age_ms=20.0)
    wait_for(lambda: len(bench.chunks) == 1, 5.0)
    bench.engine.actions[3, 3] = np.nan
    bench.now_ns += 5 * STEP_MS * MS
    bench.frame(age_ms=20.0)
    wait_for(lambda: bench.loop.faults[Fault.PREDICTION_NOT_FINITE] == 1, 5.0)
    bench.engine.actions = actions[10:26]
    bench.now_ns += 5 * STEP_MS * MS
    bench.frame(age_ms=20.0)
    wait_for(lambda: len(bench.chunks) == 2, 5.0)
    # Ten steps later the first prediction reaches six steps of the newer one, and says the same of them.
    assert np.allclose(bench.chunks[1].actions, actions[10:18])
    bench.engine.actions = actions[17:33]
    bench.now_ns += 5 * STEP_MS * MS
    bench.frame(age_ms=20.0)
    wait_for(lambda: len(bench.chunks) == 3, 5.0)
    assert np.allclose(bench.chunks[2].actions, actions[16:24])


def test_in_mode_prefix_the_engine_is_told_what_is_committed():
    bench = Bench(ExecutionMode.PREFIX)
    bench.engine.actions *= 1e-3
    try:
        bench.frame(age_ms=95.0)
        wait_for(lambda: len(bench.chunks) == 1, 5.0)
        bench.now_ns += 5 * STEP_MS * MS
        bench.frame(age_ms=95.0)
        wait_for(lambda: len(bench.chunks) == 2, 5.0)
    finally:
        bench.loop.stop()
    assert bench.engine.prefixes[0] is None
    # Steps 2 to 9 were sent; five steps later, two of them are committed for 105 ms.
    assert np.allclose(bench.engine.prefixes[1], 1e-3 * np.array([[5.0], [6.0]]) * np.ones(14))


@pytest.mark.parametrize("age_ms", [101.0, -21.0, 5000.0])
def test_frames_too_old_or_from_the_future_are_not_used(bench, age_ms):
    bench.frame(age_ms)
    wait_for(lambda: bench.loop.faults[Fault.FRAME_NOT_CURRENT] == 1, 5.0)
    assert bench.engine.observations == []
    bench.now_ns += 10_000 * MS
    bench.frame()
    wait_for(lambda: bench.chunks, 5.0)


def test_black_frames_make_no_chunks_until_there_is_light(bench):
    for _ in range(SUSPECT_FRAMES):
        bench.now_ns += 1000 * MS
        bench.frame(traits=FrameTraits(0, 0.5))
    wait_for(lambda: bench.loop.faults[Fault.CAMERA_BLIND] == 1, 5.0)
    made = len(bench.engine.observations)
    assert bench.loop.fault().fault.name == "CAMERA_BLIND"
    bench.now_ns += 1000 * MS
    bench.frame(traits=FrameTraits(0, 0.5))
    assert bench.loop.faults[Fault.CAMERA_BLIND] == 2
    bench.now_ns += 1000 * MS
    bench.frame()
    wait_for(lambda: len(bench.engine.observations) == made + 1, 5.0)
    assert bench.loop.fault() is None


def test_a_pass_that_does_not_end_is_found_and_not_waited_for():
    bench = Bench(longest_pass_s=0.4)
    release = threading.Event()
    bench.engine.behaviour = lambda: release.wait(20.0)
    bench.frame()
    wait_for(lambda: bench.engine.observations, 5.0)
    wait_for(lambda: str(bench.loop.fault()).startswith("a forward pass does not end: it has been"), 5.0)
    assert not bench.loop.stop()
    release.set()
    assert bench.loop.stop()


def test_a_pass_that_fails_ends_the_loop_and_is_named(bench):
    def fail() -> None:
        raise MemoryError("no memory")

    bench.engine.behaviour = fail
    bench.frame()
    wait_for(lambda: bench.loop.failure is not None, 5.0)
    assert str(bench.loop.fault()) == "a forward pass failed: MemoryError('no memory')"


def test_only_the_newest_of_many_frames_is_used(bench):
    running, release = threading.Event(), threading.Event()

    def block() -> None:
        running.set()
        release.wait(5.0)

    bench.engine.behaviour = block
    bench.frame()
    running.wait(5.0)
    bench.engine.behaviour = lambda: None
    for _ in range(9):
        bench.now_ns += 33 * MS
        bench.frame()
    release.set()
    wait_for(lambda: len(bench.chunks) == 2, 5.0)
    time.sleep(0.1)
    assert [o.stamp_ns for o in bench.engine.observations][-1] == bench.now_ns - 20 * MS
    assert len(bench.engine.observations) == 2


def test_observations_lie_at_least_the_replanning_interval_apart(bench):
    for _ in range(30):
        bench.now_ns += 33 * MS
        bench.frame()
        time.sleep(0.01)
    wait_for(lambda: len(bench.chunks) >= 4, 5.0)
    gaps = np.diff([chunk.observation_stamp_ns for chunk in bench.chunks])
    assert gaps.min() >= (5 * STEP_MS - STEP_MS // 2) * MS
    assert [chunk.sequence for chunk in bench.chunks] == list(range(1, len(bench.chunks) + 1))


def test_an_observation_waits_for_states_after_its_frame(bench):
    stamp = bench.now_ns
    for arm in ("left", "right"):
        bench.loop.add_reading(arm, ArmReading(np.zeros(7), np.zeros(7), stamp - 3 * MS))
    bench.loop.add_frame(
        PendingFrame(stamp, SOUND, lambda: CameraFrame(np.zeros((4, 4, 3), np.uint8), stamp))
    )
    time.sleep(0.1)
    assert bench.engine.observations == []
    for arm in ("left", "right"):
        bench.loop.add_reading(arm, ArmReading(np.ones(7), np.zeros(7), stamp + 2 * MS))
    wait_for(lambda: bench.chunks, 5.0)
    assert np.all(bench.engine.observations[0].arms.positions == 0.0)


def refuse(error):
    def raising():
        raise error

    return raising


def test_a_frame_or_an_instruction_that_is_refused_makes_no_chunk_and_the_loop_goes_on(bench):
    bench.frame(decode=refuse(RejectedMessage("no picture")))
    wait_for(lambda: bench.loop.faults[Fault.FRAME_UNUSABLE] == 1, 5.0)
    bench.engine.behaviour = refuse(PredictionRefused("unknown word 'dance'"))
    bench.now_ns += 500 * MS
    bench.frame()
    wait_for(lambda: bench.loop.faults[Fault.FRAME_UNUSABLE] == 2, 5.0)
    assert "unknown word 'dance'" in bench.reports[-1]
    bench.engine.behaviour = lambda: None
    bench.now_ns += 500 * MS
    bench.frame()
    wait_for(lambda: bench.chunks, 5.0)
    assert bench.loop.failure is None


def test_a_broken_engine_ends_the_loop_and_says_why(bench):
    bench.engine.behaviour = refuse(MemoryError("no memory"))
    bench.frame()
    wait_for(lambda: bench.loop.failure is not None, 5.0)
    assert isinstance(bench.loop.failure, MemoryError)
