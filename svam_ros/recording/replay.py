"""The observations that a recorded policy acted on, rebuilt from its episode file.

Uses the very classes that the live node uses (``svam_ros.translation``), so that a network trained on
recordings sees exactly what it sees when it drives the robot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile
from svam_ros.recording.demo_episode import EpisodeTopics
from svam_ros.recording.episode_file import EPISODE_METADATA
from svam_ros.recording.episode_reader import read_episode, read_metadata
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.images import camera_frame, decode_colour_image
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import ActionChunk, ArmReading, Observation


@dataclass(frozen=True)
class ReplayedChunk:
    """A chunk and the observation it was made from."""

    chunk: ActionChunk
    observation: Observation


def replay_chunks(
    path: Path,
    profile: RobotProfile,
    cobot: Cobot,
    max_joint_age_ms: float,
    topics: EpisodeTopics | None = None,
) -> Iterator[ReplayedChunk]:
    """Every chunk of an episode with its observation, in the order of their frames.

    Chunks whose frame or joint states are not in the file (made before the recording began) are left out.

    Args:
        path: the episode.
        profile: the robot profile that it was recorded with.
        cobot: the embodiment.
        max_joint_age_ms: as the node was told.
        topics: where our own messages are, if not at their usual names.

    Raises:
        EpisodeReadError: no episode, or damaged.
    """
    topics = topics or EpisodeTopics()
    chunks = _chunks_by_stamp(path, cobot, topics)
    readings = _readings(path, profile)
    instruction = read_metadata(path).get(EPISODE_METADATA, {}).get("instruction", "")
    assembler = ObservationAssembler(max_joint_age_ms)
    upcoming = {arm: iter(readings[arm]) for arm in ARM_NAMES}
    for message in read_episode(path, [profile.camera.image_topic]):
        stamp_ns = stamp_to_ns(message.message.header.stamp)
        if stamp_ns not in chunks:
            continue
        while not assembler.is_complete(stamp_ns):
            if not _advance(assembler, upcoming, stamp_ns):
                return
        rgb = decode_colour_image(message.message, profile.camera.encoding)
        try:
            observation = assembler.observe(camera_frame(rgb, stamp_ns, profile.camera), instruction)
        except RejectedMessage:
            continue
        yield from (ReplayedChunk(chunk, observation) for chunk in chunks[stamp_ns])


def _advance(
    assembler: ObservationAssembler, upcoming: dict[str, Iterator[ArmReading]], stamp_ns: int
) -> bool:
    """Give the assembler every arm's next reading up to the first one after ``stamp_ns``."""
    for arm, readings in upcoming.items():
        for reading in readings:
            assembler.add_reading(arm, reading)
            if reading.stamp_ns > stamp_ns:
                break
    return assembler.is_complete(stamp_ns)


def _chunks_by_stamp(path: Path, cobot: Cobot, topics: EpisodeTopics) -> dict[int, list[ActionChunk]]:
    chunks: dict[int, list[ActionChunk]] = defaultdict(list)
    for message in read_episode(path, [topics.chunk]):
        chunk = read_chunk(message.message, cobot)
        chunks[chunk.observation_stamp_ns].append(chunk)
    return dict(chunks)


def _readings(path: Path, profile: RobotProfile) -> dict[str, list[ArmReading]]:
    """Readings of both arms in the order of their stamps; what the node rejects is rejected here."""
    arm_of = {profile.arms[arm].state_topic: arm for arm in ARM_NAMES}
    readings: dict[str, list[ArmReading]] = {arm: [] for arm in ARM_NAMES}
    for message in read_episode(path, arm_of):
        arm = arm_of[message.topic]
        try:
            reading = read_joint_state(message.message, profile, arm, message.log_time_ns)
        except RejectedMessage:
            continue
        if not readings[arm] or reading.stamp_ns > readings[arm][-1].stamp_ns:
            readings[arm].append(reading)
    return readings
