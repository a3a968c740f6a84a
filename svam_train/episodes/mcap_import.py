"""An MCAP episode, as ``svam demo`` records it, as an episode to learn from.

What is learnt as the action is what the arms were told: the streamed set-points. Chunks would be the
other choice; but they overlap and contradict each other, most of their steps were never executed, and
they lack what the guard made of them. And a recording of a person who leads the arms has set-points only.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from svam_ros.cobot import ARM_NAMES, CalibrationError, RobotProfile, load_cobot
from svam_ros.recording.episode_file import EPISODE_METADATA, OUTCOME_METADATA
from svam_ros.recording.episode_reader import EpisodeReadError, read_episode, read_metadata
from svam_ros.recording.replay import ReplaySettings, first_frame_problem, recorded_observations
from svam_ros.translation.joint_states import read_command
from svam_ros.translation.preprocessing import ImagePreparation, prepare_image
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import FloatArray, Observation
from svam_train.episodes.control_grid import PictureGrid, targets_on_grid
from svam_train.episodes.episodes import CorruptShard, DataError, Episode, RobotFacts
from svam_train.episodes.robot_checks import check_camera, check_joint_names


class NoPictures(DataError):
    """The recording holds no observation to learn from."""


SetPoints = tuple[FloatArray, FloatArray]
"""Stamps in seconds ``(n,)`` and positions ``(n, 7)`` of one arm."""


def was_unsuccessful(path: Path) -> bool:
    """Whether the recording itself says that the task was not done.

    Raises:
        CorruptShard: the file cannot be read.
    """
    try:
        return read_metadata(path).get(OUTCOME_METADATA, {}).get("success") == "false"
    except (EpisodeReadError, OSError) as error:
        raise CorruptShard(f"{path}: {error}") from error


def import_mcap(
    path: Path, identity: str, preparation: ImagePreparation, robot: RobotFacts, stride: int
) -> Episode:
    """Read an episode; pictures and joints are those of the observations that policy_node would have made.

    It begins with the first observation for which the set-points have begun, and ends with the last
    set-point or picture.

    Args:
        path: a finished ``.mcap``.
        identity: what it is called in its data set.
        preparation: of the pictures.
        robot: what is expected.
        stride: control steps from one picture to the next.

    Raises:
        CorruptShard: the file is damaged.
        DataError: another robot or camera, or a recording with holes.
    """
    settings = _settings(path)
    check_joint_names(load_cobot().joint_names, robot, identity)
    camera = settings.profile.camera
    check_camera((camera.width, camera.height), camera.rate_hz, robot, identity)
    try:
        arms = [_set_points(path, settings.profile, arm) for arm in ARM_NAMES]
        if not all(len(stamps) for stamps, _ in arms):
            raise DataError("it holds no set-points: the arms were never told to move")
        first_s = max(stamps.min() for stamps, _ in arms) - robot.control_period_s
        seen = recorded_observations(path, settings)
        grid, start_s = _pictures(seen, first_s, PictureGrid(robot.control_period_s, stride), preparation)
        steps = grid.steps(min(stamps.max() for stamps, _ in arms) - start_s)
        images, joints, lateness = grid.rows(steps)
        targets = [targets_on_grid(t - start_s, p, steps, robot.control_period_s) for t, p in arms]
    except (EpisodeReadError, OSError) as error:
        raise CorruptShard(f"{path}: {error}") from error
    except NoPictures as error:
        problem = first_frame_problem(path, settings.profile)
        raise DataError(f"episode '{identity}' ({path}): {error}{problem and f': {problem}'}") from error
    except DataError as error:
        raise DataError(f"episode '{identity}' ({path}): {error}") from error
    return Episode(
        identity=identity,
        task=_metadata(path).get("task", settings.instruction),
        instruction=settings.instruction,
        stride=stride,
        images=images,
        joints=joints,
        targets=np.concatenate(targets, axis=1),
        lateness=lateness,
    )


def _metadata(path: Path) -> dict[str, str]:
    try:
        return read_metadata(path).get(EPISODE_METADATA, {})
    except (EpisodeReadError, OSError) as error:
        raise CorruptShard(f"{path}: {error}") from error


def _settings(path: Path) -> ReplaySettings:
    if not _metadata(path):
        raise DataError(f"{path}: holds no metadata '{EPISODE_METADATA}': not recorded by svam")
    try:
        return ReplaySettings.recorded(path)
    except (EpisodeReadError, CalibrationError) as error:
        raise DataError(f"{path}: {error}") from error


def _pictures(
    seen: Iterator[Observation], first_s: float, grid: PictureGrid, preparation: ImagePreparation
) -> tuple[PictureGrid, float]:
    """The grid with all observations from ``first_s`` on offered to it, and when the first of them was."""
    start_ns = None
    for observation in seen:
        if observation.stamp_ns / 1e9 < first_s:
            continue
        start_ns = observation.stamp_ns if start_ns is None else start_ns
        grid.offer(
            (observation.stamp_ns - start_ns) / 1e9,
            observation.arms.positions,
            partial(prepare_image, observation.frame.rgb, preparation),
        )
    if start_ns is None:
        raise NoPictures("no picture after the arms were first told to move")
    return grid, start_ns / 1e9


def _set_points(path: Path, profile: RobotProfile, arm: str) -> SetPoints:
    stamps, positions = [], []
    for message in read_episode(path, [profile.arms[arm].command_topic]):
        try:
            reading = read_command(message.message, profile, arm)
        except RejectedMessage as error:
            raise DataError(f"a set-point cannot be read: {error}") from error
        stamps.append(reading.stamp_ns / 1e9)
        positions.append(reading.positions)
    return np.array(stamps), np.array(positions)
