"""``svam-train check-data``: what is in a data set, and whether it can be trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from svam_ros.parameters import PolicyParameters
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.commands.stage_data import EpisodeProgress
from svam_train.episodes.open_settings import OpenSettings

TINY_IMAGE = ImagePreparation("centre_square", 128, "area")


@dataclass(frozen=True)
class CheckData:
    """Look at a folder of demonstrations, MCAP episodes or a LeRobot v3.0 data set, episode by episode."""

    path: tyro.conf.Positional[Path]
    """The folder."""
    profile: str = PolicyParameters.profile
    """Robot profile that the episodes have to be of: a name, or a path to a file of your own."""
    image: ImagePreparation = TINY_IMAGE
    """How the network that is to be trained wants its pictures."""
    source: tyro.conf.OmitArgPrefixes[OpenSettings] = field(default_factory=OpenSettings)


def run(options: CheckData) -> None:
    """Print the table.

    Raises:
        DataError: something is not to be trained on; the table says of all of it, the error of the first.
    """
    from svam_ros.cobot import load_cobot, load_robot_profile
    from svam_train.episodes.checks import check_episodes
    from svam_train.episodes.data_table import data_table
    from svam_train.episodes.episodes import RobotFacts
    from svam_train.episodes.sources import survey_episodes

    robot = RobotFacts.of(load_cobot(), load_robot_profile(options.profile))
    with EpisodeProgress() as progress:
        episodes, refused = survey_episodes(options.path, options.image, robot, options.source, progress.told)
    for line in data_table(episodes, robot, options.image):
        print(line)
    if refused:
        raise refused[0]
    check_episodes(episodes, robot, options.image)
