"""Checks of a data set before the first step: what is wrong is said of which episode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svam_ros.translation.instructions import check_instruction
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.translation.rejection import RejectedMessage
from svam_train.episodes.episodes import DataError, Episode, Episodes, RobotFacts
from svam_train.episodes.robot_checks import check_camera, check_joint_names

LIMIT_TOLERANCE = 0.25
"""Of a joint's range: measured joints may stand a little outside, degrees and millimetres are far outside."""


@dataclass(frozen=True)
class Verdict:
    """What the checks say of one episode."""

    identity: str
    task: str
    pictures: int
    seconds: float
    problem: str | None
    """``None`` where it can be trained on."""


def check_episodes(
    episodes: Episodes,
    robot: RobotFacts,
    preparation: ImagePreparation,
) -> None:
    """Refuse data that must not be trained on.

    Args:
        episodes: the data.
        robot: joints and camera of the robot that is trained for.
        preparation: how the network wants its pictures.

    Raises:
        DataError: names the data set or the first episode that is wrong, and what to do.
    """
    check_whole(episodes, robot, preparation)
    for verdict in verdicts(episodes, robot, preparation):
        if verdict.problem is not None:
            raise DataError(f"{episodes.name}: episode '{verdict.identity}': {verdict.problem}")


def check_whole(episodes: Episodes, robot: RobotFacts, preparation: ImagePreparation) -> None:
    """What is the same for all episodes of a set; raises ``DataError``."""
    if not len(episodes):
        raise DataError(f"{episodes.name}: no episodes; is the path right?")
    theirs = episodes.robot
    check_joint_names(theirs.joint_names, robot, episodes.name)
    if theirs.joint_names != robot.joint_names:
        raise DataError(f"{episodes.name}: its joints are in another order, {list(theirs.joint_names)}")
    size = (theirs.camera_width, theirs.camera_height)
    check_camera(size, theirs.camera_rate_hz, robot, episodes.name)
    if theirs.control_period_s != robot.control_period_s:
        raise DataError(
            f"{episodes.name}: its control steps last {theirs.control_period_s} s, the robot's "
            f"{robot.control_period_s} s"
        )
    if episodes.preparation != preparation:
        raise DataError(
            f"{episodes.name}: its pictures were prepared as {episodes.preparation}, the network wants "
            f"{preparation}"
        )


def verdicts(episodes: Episodes, robot: RobotFacts, preparation: ImagePreparation) -> Iterator[Verdict]:
    """Look at every episode; raises nothing, so that a table can show all that is wrong."""
    for index in range(len(episodes)):
        episode = episodes[index]
        seconds = len(episode.targets) * robot.control_period_s
        problem = _problem(episode, robot, preparation)
        yield Verdict(episode.identity, episode.task, len(episode), seconds, problem)


def _problem(episode: Episode, robot: RobotFacts, preparation: ImagePreparation) -> str | None:
    """The first thing that is wrong with an episode."""
    expected = (preparation.size, preparation.size, 3)
    if not len(episode):
        return "holds no pictures; delete it"
    if tuple(episode.images.shape) != (len(episode), *expected):
        return (
            f"has pictures {tuple(episode.images.shape)}, expected are {(len(episode), *expected)}: was it "
            f"recorded for another network or camera?"
        )
    for name, values in (("joints", episode.joints), ("targets", episode.targets)):
        problem = _numbers_problem(name, values, robot)
        if problem is not None:
            return problem
    if episode.lateness is not None and not np.all(np.isfinite(episode.lateness)):
        return "does not know when some of its pictures were taken; import it again"
    for name in ("depth", "segments", "points"):  # 'centres' are NaN where a thing is out of sight
        rows = getattr(episode, name)
        if rows is not None and not np.all(np.isfinite(rows[np.arange(len(episode))])):
            return f"'{name}' has numbers that are not finite: leave the episode out, or record it anew"
    try:
        check_instruction(episode.instruction)
    except RejectedMessage as error:
        return str(error)
    return None


def _numbers_problem(name: str, values: NDArray[np.float32], robot: RobotFacts) -> str | None:
    joints = len(robot.joint_names)
    if values.ndim != 2 or values.shape[1] != joints:
        return (
            f"'{name}' are {values.shape}, the robot has {joints} joints: was it recorded on another robot?"
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, joint = (int(place) for place in bad[0])
        return (
            f"'{name}' has {values[row, joint]} in row {row}, joint {robot.joint_names[joint]} "
            f"({len(bad)} such numbers): leave the episode out"
        )
    lower, upper = np.array(robot.lower), np.array(robot.upper)
    slack = LIMIT_TOLERANCE * (upper - lower)
    outside = np.argwhere((values < lower - slack) | (values > upper + slack))
    if len(outside):
        row, joint = (int(place) for place in outside[0])
        return (
            f"'{name}' has {values[row, joint]:g} in row {row}, joint {robot.joint_names[joint]}, which goes "
            f"from {lower[joint]:g} to {upper[joint]:g}: other units than rad and m?"
        )
    return None
