"""An episode file as figures: what the report shows and what the audit of the commands judges.

One pass over the file; camera pictures are thinned while reading, so that an hour needs no more memory
than a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile, load_cobot
from svam_ros.profiling.demo_record import (
    ArmTraces,
    CameraStill,
    ChunkTiming,
    DemoRecord,
    JointTrace,
    PlannedChunk,
)
from svam_ros.profiling.motion_audit import MotionAudit, arm_limits, audit_commands, worst_of
from svam_ros.profiling.run_report import RunReport
from svam_ros.profiling.stage_timer import STAGES
from svam_ros.recording.episode_file import EPISODE_METADATA
from svam_ros.recording.episode_reader import EpisodeMessage, EpisodeReadError, read_episode, read_metadata
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.images import decode_colour_image, decode_compressed_image
from svam_ros.translation.joint_states import read_command, read_joint_state
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ActionChunk, ArmReading, FloatArray, ImageArray

MAX_STILLS = 40
"""Pictures kept of an episode; between half as many and this many."""

STILL_WIDTH = 480
STILL_QUALITY = 80
STATE_PERIOD_NS = 18_000_000
"""Measured joints are kept at about 50 Hz: a plot shows no more."""


@dataclass(frozen=True)
class EpisodeTopics:
    """Which of our own topics hold what, fully resolved; the robot's come from its profile."""

    chunk: str = f"/{graph.CHUNK_TOPIC}"
    """trajectory_msgs/JointTrajectory, one message per chunk."""
    timing: str = f"/{graph.TIMING_TOPIC}"
    """diagnostic_msgs/DiagnosticArray with the stage times of each chunk."""
    timing_status: str = graph.TIMING_STATUS
    """Name of the status in it that carries them."""


@dataclass(frozen=True)
class ArmRows:
    """Positions of one arm with their stamps, in our order and units."""

    stamps_ns: NDArray[np.int64]
    """``(n,)``."""
    positions: FloatArray
    """``(n, 7)``; a row of NaN where a message could not be read."""


@dataclass(frozen=True)
class StageTimes:
    """One chunk's stage times, as the policy published them."""

    run_id: str
    sequence: int
    stamp_ns: int
    observation_age_ms: float
    stages_ms: dict[str, float]


@dataclass(frozen=True)
class RecordedEpisode:
    """Everything of one episode that figures are made of."""

    instruction: str
    start_ns: int
    """ROS time of the first camera or joint message."""
    end_ns: int
    stills: tuple[tuple[int, bytes], ...]
    """Stamp and JPEG of some of the camera's pictures."""
    states: dict[str, ArmRows]
    """Measured, by arm, thinned to 50 Hz."""
    commands: dict[str, ArmRows]
    """Every set-point, by arm."""
    chunks: tuple[ActionChunk, ...]
    timings: tuple[StageTimes, ...]

    def audit(self, cobot: Cobot) -> MotionAudit:
        """The worst that either arm was told, against the limits of ``cobot``."""
        return worst_of(
            [
                audit_commands(rows.stamps_ns, rows.positions, arm_limits(cobot.limits, cobot.arm_slice(arm)))
                for arm, rows in self.commands.items()
            ]
        )

    def demo_record(self, report: RunReport, episode: int, cobot: Cobot) -> DemoRecord:
        """The data of ``report.html``; ``episode`` is this one's index in ``report.episodes``."""
        begun = datetime.fromtimestamp(self.start_ns / 1e9, tz=timezone.utc)
        observed = {(chunk.run_id, chunk.sequence): chunk.observation_stamp_ns for chunk in self.chunks}
        return DemoRecord(
            instruction=self.instruction,
            episode=episode,
            recorded_utc=begun.strftime("%Y-%m-%d %H:%M UTC"),
            duration_s=self._seconds(self.end_ns),
            joint_names=cobot.joint_names,
            stills=tuple(CameraStill(self._seconds(stamp), jpeg) for stamp, jpeg in self.stills),
            arms={
                arm: ArmTraces(self._trace(self.states[arm]), self._trace(self.commands[arm]))
                for arm in ARM_NAMES
            },
            chunks=tuple(
                PlannedChunk(
                    chunk.sequence,
                    self._seconds(chunk.observation_stamp_ns),
                    (chunk.target_times_ns() - self.start_ns) / 1e9,
                    chunk.actions,
                )
                for chunk in self.chunks
            ),
            timings=tuple(
                ChunkTiming(
                    row.sequence,
                    self._seconds(observed.get((row.run_id, row.sequence), row.stamp_ns)),
                    row.observation_age_ms,
                    row.stages_ms,
                )
                for row in self.timings
            ),
            report=report,
        )

    def _seconds(self, stamp_ns: int) -> float:
        return (stamp_ns - self.start_ns) / 1e9

    def _trace(self, rows: ArmRows) -> JointTrace:
        """Readable rows in the order of time (a re-anchored plan may step back)."""
        whole = np.isfinite(rows.positions).all(axis=1)
        stamps, positions = rows.stamps_ns[whole], rows.positions[whole]
        order = np.argsort(stamps, kind="stable")
        return JointTrace((stamps[order] - self.start_ns) / 1e9, positions[order])


def demo_record_from_episode(
    path: Path,
    profile: RobotProfile,
    report: RunReport,
    episode: int = 0,
    topics: EpisodeTopics | None = None,
    cobot: Cobot | None = None,
) -> DemoRecord:
    """The data of ``report.html`` from a recorded episode.

    Args:
        path: the episode, finished or not.
        profile: the robot profile that it was recorded with.
        report: the figures of the whole run.
        episode: index of this episode in ``report.episodes``.
        topics: where our own messages are, if not at their usual names.
        cobot: the embodiment; default that of ``calibration/cobot.yaml``.

    Raises:
        EpisodeReadError: see :func:`load_episode`.
    """
    cobot = cobot or load_cobot()
    return load_episode(path, profile, cobot, topics).demo_record(report, episode, cobot)


def load_episode(
    path: Path, profile: RobotProfile, cobot: Cobot, topics: EpisodeTopics | None = None
) -> RecordedEpisode:
    """Read an episode (finished or not).

    Raises:
        EpisodeReadError: no episode, damaged, or without a single camera or joint message.
    """
    collector = _Collector(topics or EpisodeTopics(), profile, cobot)
    for message in read_episode(path, collector.handlers):
        collector.handlers[message.topic](message)
    if collector.start_ns is None:
        raise EpisodeReadError(
            f"{path} holds no camera or joint message on the topics of robot profile {profile.name}: "
            f"was it recorded with another profile?"
        )
    metadata = read_metadata(path).get(EPISODE_METADATA, {})
    return RecordedEpisode(
        instruction=metadata.get("instruction") or metadata.get("task") or path.stem,
        start_ns=collector.start_ns,
        end_ns=collector.end_ns,
        stills=tuple(collector.stills),
        states={arm: collector.states[arm].rows() for arm in ARM_NAMES},
        commands={arm: collector.commands[arm].rows() for arm in ARM_NAMES},
        chunks=tuple(collector.chunks),
        timings=tuple(collector.timings),
    )


def _state(profile: RobotProfile, arm: str, message: EpisodeMessage) -> ArmReading:
    return read_joint_state(message.message, profile, arm, message.log_time_ns)


def _command(profile: RobotProfile, arm: str, message: EpisodeMessage) -> ArmReading:
    return read_command(message.message, profile, arm)


class _Rows:
    """Positions of one arm as they come in."""

    def __init__(self, read: Callable[[EpisodeMessage], ArmReading], joints: int, period_ns: int = 0) -> None:
        self._read, self._joints, self._period_ns = read, joints, period_ns
        self._stamps: list[int] = []
        self._positions: list[FloatArray] = []

    def add(self, message: EpisodeMessage) -> None:
        stamp = message.publish_time_ns
        if self._stamps and self._period_ns and stamp - self._stamps[-1] < self._period_ns:
            return
        try:
            reading = self._read(message)
            stamp, positions = reading.stamp_ns, reading.positions
        except RejectedMessage:
            positions = np.full(self._joints, np.nan)
        self._stamps.append(stamp)
        self._positions.append(positions)

    def rows(self) -> ArmRows:
        positions = np.array(self._positions).reshape(-1, self._joints)
        return ArmRows(np.array(self._stamps, dtype=np.int64), positions)


class _Collector:
    """Takes the messages of one pass over the file, by topic."""

    def __init__(self, topics: EpisodeTopics, profile: RobotProfile, cobot: Cobot) -> None:
        self._timing_status, self._cobot = topics.timing_status, cobot
        self.start_ns: int | None = None
        self.end_ns = 0
        self.stills: list[tuple[int, bytes]] = []
        self.chunks: list[ActionChunk] = []
        self.timings: list[StageTimes] = []
        joints = cobot.joints_per_arm
        self.states = {
            arm: _Rows(partial(_state, profile, arm), joints, STATE_PERIOD_NS) for arm in ARM_NAMES
        }
        self.commands = {arm: _Rows(partial(_command, profile, arm), joints) for arm in ARM_NAMES}
        self._stride, self._frames = 1, 0
        image_topic = profile.camera.image_topic
        self.handlers: dict[str, Callable[[EpisodeMessage], None]] = {
            image_topic: self._raw_picture,
            f"{image_topic}/compressed": self._compressed_picture,
            topics.chunk: self._chunk,
            topics.timing: self._timing,
        }
        for arm in ARM_NAMES:
            self.handlers[profile.arms[arm].state_topic] = self._state_handler(arm)
            self.handlers[profile.arms[arm].command_topic] = self.commands[arm].add

    def _state_handler(self, arm: str) -> Callable[[EpisodeMessage], None]:
        def handle(message: EpisodeMessage) -> None:
            self._extend(message)
            self.states[arm].add(message)

        return handle

    def _extend(self, message: EpisodeMessage) -> None:
        """The episode lasts from the first measured thing to the last."""
        stamp = message.publish_time_ns
        self.start_ns = stamp if self.start_ns is None else min(self.start_ns, stamp)
        self.end_ns = max(self.end_ns, stamp)

    def _raw_picture(self, message: EpisodeMessage) -> None:
        self._picture(message, decode_colour_image)

    def _compressed_picture(self, message: EpisodeMessage) -> None:
        self._picture(message, decode_compressed_image)

    def _picture(self, message: EpisodeMessage, decode: Callable[[Any], ImageArray]) -> None:
        """Keep every ``stride``-th picture; when there are too many, drop half and go on at double stride."""
        self._extend(message)
        self._frames += 1
        if (self._frames - 1) % self._stride:
            return
        try:
            self.stills.append((message.publish_time_ns, _jpeg(decode(message.message))))
        except RejectedMessage:
            return
        if len(self.stills) > MAX_STILLS:
            self.stills = self.stills[::2]
            self._stride *= 2

    def _chunk(self, message: EpisodeMessage) -> None:
        try:
            self.chunks.append(read_chunk(message.message, self._cobot))
        except RejectedMessage:
            return

    def _timing(self, message: EpisodeMessage) -> None:
        for status in message.message.status:
            if status.name == self._timing_status:
                values = {entry.key: entry.value for entry in status.values}
                self.timings.append(read_stage_times(values, message.publish_time_ns))


def read_stage_times(values: Mapping[str, str], stamp_ns: int) -> StageTimes:
    """One chunk's, from the values of its timing status.

    Args:
        values: as policy_node publishes them.
        stamp_ns: when it did.

    Raises:
        EpisodeReadError: something is missing or no number.
    """
    try:
        return StageTimes(
            run_id=values["run_id"],
            sequence=int(values["sequence"]),
            stamp_ns=stamp_ns,
            observation_age_ms=float(values["observation_age_ms"]),
            stages_ms={stage: float(values[stage]) for stage in STAGES if stage in values},
        )
    except (KeyError, ValueError) as error:
        raise EpisodeReadError(f"stage times cannot be read: {error!r} in {values}") from error


def _jpeg(rgb: ImageArray) -> bytes:
    height, width = rgb.shape[:2]
    if width > STILL_WIDTH:
        size = (STILL_WIDTH, height * STILL_WIDTH // width)
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, STILL_QUALITY]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)[1].tobytes())
