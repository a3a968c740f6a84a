"""What every stage does before its first step: open the data, check it, split it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from svam_train.episodes.open_settings import OpenSettings
from svam_train.training.progress_bar import ProgressBar, progress_bar

if TYPE_CHECKING:  # help is shown without torch
    import torch

    from svam_train.episodes.batches import EpisodeRows

SPLIT_SEED = 0
"""The same for all stages: none sees in training what another one holds out."""


@dataclass(frozen=True)
class DataOptions:
    """Where the episodes are, and how the network sees them."""

    path: Path = Path("runs/demonstrations")
    """Folder of demonstrations, of MCAP episodes or a LeRobot v3.0 data set."""
    also: tuple[Path, ...] = ()
    """More folders, of the same kind or another, each with a name of its own: all are trained on together."""
    profile: str = "cobot_magic"
    """Of the robot that it was recorded on."""
    crop: Literal["centre_square", "squash"] = "centre_square"
    """How a picture becomes square; the same in all stages."""
    source: OpenSettings = field(default_factory=OpenSettings)


@dataclass(frozen=True)
class StageData:
    """Episodes to train on and episodes to look at."""

    training: EpisodeRows
    held_out: EpisodeRows
    facts: dict[str, Any]
    """For the run's config: a run is resumed with the same data only."""


def open_stage_data(
    options: DataOptions, image_size: int, held_out_share: float, frame_spacing: int | None = None
) -> StageData:
    """Open, check and split.

    Args:
        options: what the user said.
        image_size: of the network, pixels.
        held_out_share: of the episodes.
        frame_spacing: control steps between two frames of the video, in stages that look at several.

    Raises:
        DataError: the data is not there or must not be trained on, or has no pictures where frames are.
    """
    from svam_ros.cobot import load_cobot, load_robot_profile
    from svam_ros.translation.preprocessing import ImagePreparation
    from svam_train.episodes.batches import EpisodeRows
    from svam_train.episodes.checks import check_episodes
    from svam_train.episodes.episodes import DataError, RobotFacts
    from svam_train.episodes.sources import open_together
    from svam_train.episodes.splits import split

    robot = RobotFacts.of(load_cobot(), load_robot_profile(options.profile))
    preparation = ImagePreparation(options.crop, image_size, "area")
    settings = replace(options.source, stride=options.source.stride_for(frame_spacing))
    with EpisodeProgress() as progress:
        paths = (options.path, *options.also)
        episodes = open_together(paths, preparation, robot, settings, progress.told)
    check_episodes(episodes, robot, preparation)
    training, held_out = (EpisodeRows(side) for side in split(episodes, held_out_share, SPLIT_SEED))
    if frame_spacing is not None and frame_spacing % training.stride:
        raise DataError(
            f"{episodes.name}: its pictures are {training.stride} control steps apart, the video's frames "
            f"{frame_spacing}: choose a multiple as --recipe.frame-spacing, or, where the episodes were "
            f"imported, another --data.source.stride"
        )
    facts = {"name": episodes.name, "fingerprint": episodes.fingerprint, "image": asdict(preparation)}
    return StageData(training, held_out, facts)


class EpisodeProgress:
    """A bar for each data set, which learns how long it is when it is told of the first episode.

    Args:
        of: what is done with the episodes, before their names.
    """

    def __init__(self, of: str = "") -> None:
        self._of = of
        self._stack = ExitStack()
        self._bar: ProgressBar | None = None

    def __enter__(self) -> EpisodeProgress:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def told(self, done: int, total: int, name: str) -> None:
        """So many are done, and which one is next."""
        if not _is_first_process():
            return
        if self._bar is None or done == 0:
            self._stack.close()  # two bars at once would write over each other
            self._bar = self._stack.enter_context(progress_bar(total))
        self._bar.show(f"{self._of}{name}", min(done, 1))


def tell(sentence: str) -> None:
    """Print it once, however many processes train."""
    if _is_first_process():
        print(sentence)


def _is_first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def process_device() -> torch.device:
    """Where this process computes what comes before training: the device that it will train on."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
