"""Opens a folder of episodes of any kind; what kind it is, is told by what is inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from svam_ros.cobot import CalibrationError, load_cobot, load_robot_profile
from svam_ros.recording.black_box_file import BLACK_BOX_PATTERN
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.whole_files import PART_SUFFIX
from svam_train.episodes.episode_files import open_episode_file
from svam_train.episodes.episodes import CorruptShard, DataError, Episode, EpisodeSet, LeftOut, RobotFacts
from svam_train.episodes.imports import FOLDER, Imports, ImportSettings
from svam_train.episodes.lerobot_layout import read_layout
from svam_train.episodes.mcap_import import import_mcap, was_unsuccessful
from svam_train.episodes.open_settings import OpenSettings
from svam_train.episodes.robot_checks import check_camera, check_joint_names

RECIPE_FILE = "recipe.json"
"""Beside demonstrations: how they were recorded."""

_UNFINISHED = "not finished: what a killed recording left"

Told = Callable[[int, int, str], None]
"""Is told how many of how many episodes are open, and which one is next."""


@dataclass(frozen=True)
class _Candidate:
    name: str
    open: Callable[[], Episode | LeftOut]


def open_episodes(
    path: Path,
    preparation: ImagePreparation,
    robot: RobotFacts,
    settings: OpenSettings | None = None,
    told: Told | None = None,
) -> EpisodeSet:
    """Open a folder of demonstrations (``.npz``), of MCAP episodes or a LeRobot v3.0 data set.

    MCAP and LeRobot episodes are imported when they are opened for the first time.

    Args:
        path: the folder.
        preparation: how the network wants its pictures.
        robot: joints and camera that the data has to be of.
        settings: default :class:`OpenSettings`.
        told: progress.

    Raises:
        DataError: nothing in it, of several kinds, another robot or camera, or a damaged file.
    """
    data, refused = _survey(path, preparation, robot, settings or OpenSettings(), told, go_on=False)
    if refused:
        raise refused[0]
    if not len(data):
        reasons = "".join(f"; {out.name}: {out.reason}" for out in data.left_out[:3])
        raise DataError(f"{path}: of {len(data.left_out)} episodes none can be used{reasons}")
    return data


def open_together(
    paths: Sequence[Path],
    preparation: ImagePreparation,
    robot: RobotFacts,
    settings: OpenSettings | None = None,
    told: Told | None = None,
) -> EpisodeSet:
    """Several folders as one data set, each of a kind of its own if need be.

    Episodes of the first keep their identities. Those of the others begin with their folder's name: every
    LeRobot data set has an episode 0.

    Raises:
        DataError: as :func:`open_episodes`; or two of the others have the same name.
    """
    opened = [open_episodes(path, preparation, robot, settings, told) for path in paths]
    return EpisodeSet(
        " and ".join(one.name for one in opened),
        robot,
        preparation,
        tuple(
            replace(episode, identity=f"{one.name}/{episode.identity}") if one is not opened[0] else episode
            for one in opened
            for episode in one
        ),
        tuple(out for one in opened for out in one.left_out),
    )


def survey_episodes(
    path: Path,
    preparation: ImagePreparation,
    robot: RobotFacts,
    settings: OpenSettings | None = None,
    told: Told | None = None,
) -> tuple[EpisodeSet, list[DataError]]:
    """As :func:`open_episodes`, but goes on where one episode is refused.

    Returns:
        The episodes that can be opened, the others among :attr:`EpisodeSet.left_out`; and the errors that
        :func:`open_episodes` would have raised.

    Raises:
        DataError: the folder as a whole cannot be opened.
    """
    return _survey(path, preparation, robot, settings or OpenSettings(), told, go_on=True)


def _survey(
    path: Path,
    preparation: ImagePreparation,
    robot: RobotFacts,
    settings: OpenSettings,
    told: Told | None,
    *,
    go_on: bool,
) -> tuple[EpisodeSet, list[DataError]]:
    """The episodes, and the errors of those that must not be passed over: at most one unless ``go_on``."""
    candidates = _candidates(path, preparation, robot, settings)
    episodes: list[Episode] = []
    left_out = [LeftOut(part.name, _UNFINISHED) for part in sorted(path.rglob(f"*.mcap{PART_SUFFIX}"))]
    refused: list[DataError] = []
    for done, candidate in enumerate(candidates):
        if told is not None:
            told(done, len(candidates), candidate.name)
        try:
            opened = candidate.open()
        except DataError as error:
            passed_over = settings.skip_corrupt and isinstance(error, CorruptShard)
            opened = LeftOut(candidate.name, str(error), refused=not passed_over)
            if not passed_over:
                refused.append(_with_way_out(error))
        if isinstance(opened, Episode):
            episodes.append(opened)
        else:
            left_out.append(opened)
        if refused and not go_on:
            break
    name = path.name or str(path)
    return EpisodeSet(name, robot, preparation, tuple(episodes), tuple(left_out)), refused


def _with_way_out(error: DataError) -> DataError:
    if not isinstance(error, CorruptShard):
        return error
    return CorruptShard(
        f"{error}; or pass over damaged files (--skip-corrupt; in a stage --data.source.skip-corrupt)"
    )


def _candidates(
    path: Path, preparation: ImagePreparation, robot: RobotFacts, settings: OpenSettings
) -> Sequence[_Candidate]:
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder of episodes")
    recordings = sorted(path.glob("*.npz"))
    messages = sorted(
        file
        for file in path.rglob("*.mcap")
        if FOLDER not in file.parts and not file.match(BLACK_BOX_PATTERN)  # a demo leaves those in its logs
    )
    lerobot = (path / "meta" / "info.json").is_file()
    kinds = [kind for kind, there in (("npz", recordings), ("MCAP", messages), ("LeRobot", lerobot)) if there]
    if len(kinds) != 1:
        raise DataError(
            f"{path}: holds "
            + (
                f"episodes of several kinds, {' and '.join(kinds)}: use a folder for each"
                if kinds
                else "none"
            )
            + ("" if kinds else " of demonstrations (.npz), MCAP episodes and meta/info.json of LeRobot")
        )
    if recordings:
        _check_recipe(path, preparation, robot)
        return [_Candidate(file.name, partial(open_episode_file, file)) for file in recordings]
    imported = ImportSettings(preparation, robot, settings.stride_for(None), settings.camera)
    imports = Imports(settings.cache or path / FOLDER, imported)
    if messages:
        return list(_mcap_candidates(path, messages, imports, imported, settings.keep_unsuccessful))
    return list(_lerobot_candidates(path, imports, imported))


def _check_recipe(path: Path, preparation: ImagePreparation, robot: RobotFacts) -> None:
    """Demonstrations hold prepared pictures: their recipe says how, and of which robot."""
    file = path / RECIPE_FILE
    if not file.exists():
        return
    try:
        recipe = json.loads(file.read_text(encoding="utf-8"))
        image, profile = recipe["image"], load_robot_profile(recipe["profile"])
    except (OSError, ValueError, KeyError, CalibrationError) as error:
        raise DataError(f"{file}: cannot be read: {error!r}") from error
    if image != asdict(preparation):
        raise DataError(
            f"{path}: its pictures were prepared as {image}, the network wants {asdict(preparation)}: record "
            f"demonstrations for this network"
        )
    check_joint_names(load_cobot().joint_names, robot, path.name)
    check_camera((profile.camera.width, profile.camera.height), profile.camera.rate_hz, robot, path.name)


def _mcap_candidates(
    path: Path, files: Sequence[Path], imports: Imports, imported: ImportSettings, keep_unsuccessful: bool
) -> Iterator[_Candidate]:
    for file in files:
        identity = file.relative_to(path).with_suffix("").as_posix()

        def opened(file: Path = file, identity: str = identity) -> Episode | LeftOut:
            if not keep_unsuccessful and was_unsuccessful(file):
                return LeftOut(identity, "the task was not done in it")
            make = partial(import_mcap, file, identity, imported.preparation, imported.robot, imported.stride)
            return imports.fetch(identity, [file], make)

        yield _Candidate(identity, opened)


def _lerobot_candidates(path: Path, imports: Imports, imported: ImportSettings) -> Iterator[_Candidate]:
    from svam_train.episodes.lerobot_import import import_lerobot  # loads PyAV

    layout = read_layout(path, imported.robot, imported.camera)
    for place in layout.episodes:
        make = partial(import_lerobot, layout, place, imported.preparation, imported.robot, imported.stride)
        yield _Candidate(place.identity, partial(imports.fetch, place.identity, place.sources, make))
