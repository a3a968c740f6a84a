"""The thread that turns observations into chunks, beside the one that receives messages.

Inference takes tens to hundreds of milliseconds, so it never runs in a callback. The loop takes the
newest frame only, and only when both arms have reported past it; it knows nothing of rclpy.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from svam_ros.control.camera_watch import CameraWatch, FrameTraits
from svam_ros.control.chunk_schedule import ChunkSchedule
from svam_ros.control.faults import Fault, Finding
from svam_ros.engines.policy_engine import DeviceFailed, DeviceMemoryExhausted, PolicyEngine, Prediction
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ActionChunk, ArmReading, CameraFrame, Observation

SILENCE_S = 1.0
"""Without a chunk for this long, the diagnostics say what is missing."""

LONGEST_PASS_S = 5.0
PASSES_THAT_HANG = 10.0
"""A forward pass hangs when it takes longer than these seconds, and than so many of the usual ones."""

_FAILURES: dict[type[BaseException], Fault] = {
    DeviceMemoryExhausted: Fault.DEVICE_MEMORY_EXHAUSTED,
    DeviceFailed: Fault.DEVICE_FAILED,
}
"""What an engine raised; anything else is :attr:`Fault.INFERENCE_FAILED`."""

MAX_FUTURE_NS = 20_000_000
"""How far a frame's stamp may lie ahead of this clock: two processes read it a moment apart."""


@dataclass(frozen=True)
class PendingFrame:
    """A frame that has arrived but was not decoded: only frames that are used are worth it."""

    stamp_ns: int
    traits: FrameTraits
    decode: Callable[[], CameraFrame]


@dataclass(frozen=True)
class InferenceSettings:
    """What the loop needs of the node's parameters."""

    run_id: str
    max_image_age_ns: int
    max_joint_age_ms: float
    longest_pass_s: float
    """A forward pass that takes longer hangs."""


def longest_pass_s(usual_s: float) -> float:
    """For passes that take ``usual_s`` as a rule; generous, since a process ends by it."""
    return max(LONGEST_PASS_S, PASSES_THAT_HANG * usual_s)


@dataclass(frozen=True)
class ChunkTiming:
    """What is said about a chunk on the timing topic."""

    run_id: str
    sequence: int
    observation_age_ms: float
    """From the observation's stamp to the chunk's publication."""
    stages_ms: dict[str, float]
    input_digest: str


class InferenceLoop:
    """Runs an engine on the newest complete observation, again and again, until stopped.

    Args:
        engine: makes predictions; used from the loop's thread only.
        settings: see :class:`InferenceSettings`.
        schedule: of this run alone.
        camera: of this run alone.
        now_ns: ROS time.
        publish_chunk: sends a chunk; called in the loop's thread, timed as stage ``publish``.
        publish_timing: called after each chunk.
        report: called with one sentence when something was refused; must throttle itself.
    """

    def __init__(
        self,
        engine: PolicyEngine,
        settings: InferenceSettings,
        schedule: ChunkSchedule,
        camera: CameraWatch,
        now_ns: Callable[[], int],
        publish_chunk: Callable[[ActionChunk], None],
        publish_timing: Callable[[ChunkTiming], None],
        report: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._schedule = schedule
        self._camera = camera
        self._now_ns = now_ns
        self._publish_chunk = publish_chunk
        self._publish_timing = publish_timing
        self._report = report
        self._assembler = ObservationAssembler(settings.max_joint_age_ms)
        self._wakeup = threading.Condition()
        self._newest: PendingFrame | None = None
        self._instruction: str | None = None
        self._sequence = 0
        self.run_id = settings.run_id
        """Of every chunk that this loop makes."""
        self._last_pass = time.monotonic()
        self._pass_began: float | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self.counters: Counter[str] = Counter()
        self.faults: Counter[Fault] = Counter()
        """How often each fault kept a frame or a prediction from becoming a chunk."""

    def start(self) -> None:
        """Begin to make chunks."""
        self._thread.start()

    def stop(self) -> bool:
        """Finish the pass that runs, then end the thread; ``False`` where it hangs.

        What a forward pass hangs in cannot be interrupted: the thread then ends with the process.
        """
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify_all()
        if self._thread.ident is not None:
            self._thread.join(self._settings.longest_pass_s)
        return not self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """What ended the loop against its will."""
        return self._failure

    def fault(self) -> Finding | None:
        """What keeps chunks from being made although everything needed is there; ``None`` while nothing."""
        if self._failure is not None:
            fault = _FAILURES.get(type(self._failure), Fault.INFERENCE_FAILED)
            return Finding(fault, repr(self._failure))
        began = self._pass_began
        if began is not None and time.monotonic() - began > self._settings.longest_pass_s:
            running_s = time.monotonic() - began
            return Finding(Fault.INFERENCE_HUNG, f"it has been running for {running_s:.1f} s")
        with self._wakeup:
            return self._camera.finding(time.monotonic_ns())

    def waiting_for(self) -> str:
        """What has kept the loop from making a chunk for the last second; empty when it made one."""
        with self._wakeup:
            if time.monotonic() - self._last_pass < SILENCE_S:
                return ""
            if self._instruction is None:
                return "an instruction"
            finding = self._camera.finding(time.monotonic_ns())
            if finding is not None:
                return f"a sound camera: {finding}"
            if self._newest is None:
                return "a camera frame"
            if not self._assembler.is_complete(self._newest.stamp_ns):
                return "joint states of both arms that are newer than the frame"
            return "a frame that may be used"

    def set_instruction(self, text: str) -> None:
        """Act on ``text`` (already checked) from the next pass on."""
        with self._wakeup:
            self._instruction = text
            self._wakeup.notify_all()

    def add_frame(self, frame: PendingFrame) -> None:
        """A frame has arrived; an older one that was not used yet is forgotten."""
        with self._wakeup:
            self.counters["frames"] += 1
            now_ns = time.monotonic_ns()
            self._camera.add_frame(frame.traits, now_ns)
            finding = self._camera.finding(now_ns)
            if finding is not None:
                self.faults[finding.fault] += 1
            self._newest = frame if finding is None else None
            self._wakeup.notify_all()

    def add_reading(self, arm: str, reading: ArmReading) -> None:
        """A state of one arm has arrived."""
        with self._wakeup:
            self._assembler.add_reading(arm, reading)
            self._camera.add_positions(arm, reading.positions)
            if self._newest is not None:
                self._wakeup.notify_all()

    def _run(self) -> None:
        try:
            while (frame := self._next_frame()) is not None:
                self._pass_began = time.monotonic()
                self._act_on(frame)
                self._pass_began = None
        except Exception as error:  # the node reports it and ends the process
            self._failure = error

    def _next_frame(self) -> PendingFrame | None:
        """Wait for a frame that may be used; ``None`` when the loop is told to stop."""
        with self._wakeup:
            while not self._stopping:
                frame = self._newest
                if (
                    frame is not None
                    and self._instruction is not None
                    and self._schedule.may_look(frame.stamp_ns)
                    and self._assembler.is_complete(frame.stamp_ns)
                ):
                    self._newest = None
                    return frame
                self._wakeup.wait(timeout=0.5)
        return None

    def _act_on(self, frame: PendingFrame) -> None:
        age_ns = self._now_ns() - frame.stamp_ns
        if not -MAX_FUTURE_NS <= age_ns <= self._settings.max_image_age_ns:
            allowed = f"{-MAX_FUTURE_NS / 1e6:.0f} to {self._settings.max_image_age_ns / 1e6:.0f} ms"
            self._refuse(Fault.FRAME_NOT_CURRENT, f"it is {age_ns / 1e6:.0f} ms old, allowed is {allowed}")
            return
        timer = StageTimer()
        with timer.stage("total"):
            try:
                with timer.stage("preprocess"):
                    observation = self._observe(frame)
                age_ns = self._now_ns() - frame.stamp_ns
                prefix = self._schedule.begin(frame.stamp_ns, age_ns, observation.arms.positions)
                prediction = self._engine.infer(observation, prefix)
            except RejectedMessage as error:
                self._refuse(Fault.FRAME_UNUSABLE, str(error))
                return
            chunk = self._cut(prediction, observation)
            if chunk is None:
                return
            with timer.stage("publish"):
                self._publish_chunk(chunk)
        self._last_pass = time.monotonic()
        self._announce(chunk, prediction, timer.durations_ms())

    def _observe(self, frame: PendingFrame) -> Observation:
        decoded = frame.decode()
        with self._wakeup:
            return self._assembler.observe(decoded, self._instruction or "")

    def _cut(self, prediction: Prediction, observation: Observation) -> ActionChunk | None:
        """The predicted steps that are to be sent, as the schedule says."""
        observation_ns, predicted = observation.stamp_ns, prediction.actions
        age_ns = self._now_ns() - observation_ns
        finite = bool(np.all(np.isfinite(predicted)))
        placed = None
        if finite:
            placed = self._schedule.place(predicted, observation_ns, age_ns, observation.instruction)
        if placed is None:
            fault = Fault.PREDICTION_LATE if finite else Fault.PREDICTION_NOT_FINITE
            self._refuse(fault, f"{age_ns / 1e6:.0f} ms after its frame")
            return None
        self._sequence += 1
        self.counters["chunks"] += 1
        step_s, run_id = self._engine.step_s, self.run_id
        return ActionChunk(placed.actions, observation_ns, placed.first_step, step_s, run_id, self._sequence)

    def _refuse(self, fault: Fault, detail: str) -> None:
        self.faults[fault] += 1
        self._report(f"no chunk: {Finding(fault, detail)}")

    def _announce(self, chunk: ActionChunk, prediction: Prediction, own_ms: dict[str, float]) -> None:
        stages_ms = dict(prediction.stages_ms)
        stages_ms["preprocess"] = stages_ms.get("preprocess", 0.0) + own_ms["preprocess"]
        stages_ms["publish"] = own_ms["publish"]
        stages_ms["total"] = own_ms["total"]
        age_ms = (self._now_ns() - chunk.observation_stamp_ns) / 1e6
        self._publish_timing(
            ChunkTiming(chunk.run_id, chunk.sequence, age_ms, stages_ms, prediction.input_digest)
        )
