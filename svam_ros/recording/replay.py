"""The observations that a policy acted on, rebuilt from its recorded frames and joint states.

Uses the classes that the live node uses (``svam_ros.translation``), so that whoever learns from
recordings gets bit for bit what the node had. Demonstrations in simulation are recorded through
:func:`observations` too, and episode files become training data through :func:`recorded_observations`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile, load_robot_profile
from svam_ros.recording.demo_episode import EpisodeTopics
from svam_ros.recording.episode_file import EPISODE_METADATA
from svam_ros.recording.episode_reader import EpisodeReadError, read_episode, read_metadata
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.images import camera_frame, decode_colour_image
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import ActionChunk, ArmReading, CameraFrame, Observation


@dataclass(frozen=True)
class ReplayedChunk:
    """A chunk and the observation it was made from."""

    chunk: ActionChunk
    observation: Observation


@dataclass(frozen=True)
class ReplaySettings:
    """What decides, beside the messages, which observation a frame gives."""

    profile: RobotProfile
    max_joint_age_ms: float
    instruction: str

    @staticmethod
    def recorded(path: Path) -> ReplaySettings:
        """As the policy of an episode was told, by the episode's own metadata.

        Raises:
            EpisodeReadError: the file is no episode, or does not say.
            CalibrationError: its robot profile is not known here.
        """
        metadata = read_metadata(path).get(EPISODE_METADATA, {})
        try:
            age_ms = float(metadata[parameter_key(graph.POLICY_NODE, "max_joint_age_ms")])
            profile = metadata[parameter_key(graph.POLICY_NODE, "profile")]
            instruction = metadata["instruction"]
        except (KeyError, ValueError) as error:
            raise EpisodeReadError(
                f"{path} does not say how its policy was set ({error}): recorded by other software, or by an "
                f"older version? Give replay_chunks the ReplaySettings"
            ) from error
        return ReplaySettings(load_robot_profile(profile), age_ms, instruction)


def parameter_key(node: str, parameter: str) -> str:
    """The key of a node's parameter in an episode's metadata."""
    return f"{node} {parameter}"


def replay_chunks(
    path: Path, cobot: Cobot, settings: ReplaySettings | None = None, topics: EpisodeTopics | None = None
) -> Iterator[ReplayedChunk]:
    """Every chunk of an episode with its observation, in the order of their frames.

    Chunks whose frame or joint states are not in the file (made before the recording began) are left out.

    Args:
        path: the episode.
        cobot: the embodiment.
        settings: default what the episode's metadata say.
        topics: where our own messages are, if not at their usual names.

    Raises:
        EpisodeReadError: no episode, or damaged, or it does not say how its policy was set.
    """
    settings = settings or ReplaySettings.recorded(path)
    chunks = _chunks_by_stamp(path, cobot, topics or EpisodeTopics())
    for observation in recorded_observations(path, settings, chunks):
        yield from (ReplayedChunk(chunk, observation) for chunk in chunks[observation.stamp_ns])


def recorded_observations(
    path: Path, settings: ReplaySettings, wanted: Container[int] | None = None
) -> Iterator[Observation]:
    """What the live node would have observed, had it taken every frame of an episode.

    Args:
        path: the episode.
        settings: age limit and instruction, and the robot's dialect.
        wanted: stamps of the only frames to decode; ``None`` for all.

    Raises:
        EpisodeReadError: no episode, or damaged.
    """
    frames = _frames(path, settings.profile, wanted)
    return observations(frames, _readings(path, settings.profile), settings)


def observations(
    frames: Iterable[CameraFrame], readings: Mapping[str, Iterable[ArmReading]], settings: ReplaySettings
) -> Iterator[Observation]:
    """The observation of every frame that the live node would have taken.

    Left out are frames for which an arm's state is missing or too old, and those after the last states.

    Args:
        frames: in the order of their stamps; drawn one by one, so they may be made when asked for.
        readings: of each arm, in the order of their stamps.
        settings: age limit and instruction.
    """
    assembler = ObservationAssembler(settings.max_joint_age_ms)
    upcoming = {arm: iter(readings[arm]) for arm in ARM_NAMES}
    for frame in frames:
        while not assembler.is_complete(frame.stamp_ns):
            if not _advance(assembler, upcoming, frame.stamp_ns):
                return
        try:
            yield assembler.observe(frame, settings.instruction)
        except RejectedMessage:
            continue


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


def _frames(path: Path, profile: RobotProfile, wanted: Container[int] | None) -> Iterator[CameraFrame]:
    """The frames with a wanted stamp that can be decoded."""
    for message in read_episode(path, [profile.camera.image_topic]):
        stamp_ns = stamp_to_ns(message.message.header.stamp)
        if wanted is not None and stamp_ns not in wanted:
            continue
        try:
            rgb = decode_colour_image(message.message, profile.camera.encoding)
            yield camera_frame(rgb, stamp_ns, profile.camera)
        except RejectedMessage:
            continue


def first_frame_problem(path: Path, profile: RobotProfile) -> str:
    """Why the first picture of an episode is none of the profile's camera; empty where nothing is wrong."""
    for message in read_episode(path, [profile.camera.image_topic]):
        try:
            rgb = decode_colour_image(message.message, profile.camera.encoding)
            camera_frame(rgb, stamp_to_ns(message.message.header.stamp), profile.camera)
        except RejectedMessage as error:
            return str(error)
        return ""
    return f"there is no picture on {profile.camera.image_topic}"


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
