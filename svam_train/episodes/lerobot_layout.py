"""What a LeRobot data set of version 3.0 says about itself: which frames of which files an episode is.

Many episodes share a Parquet file and a video; ``meta/episodes`` says where each one lies. Pictures are in
the video, or one by one in the rows of the Parquet file.
Format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from svam_train.episodes.episodes import CorruptShard, DataError, RobotFacts
from svam_train.episodes.robot_checks import check_camera, check_joint_names

VERSION = "v3.0"
STATE_KEY = "observation.state"
ACTION_KEY = "action"

_PICTURES = ("video", "image")
"""What the type of a camera's feature is called: one video of all frames, or a file for each."""


@dataclass(frozen=True)
class VideoPart:
    """Where an episode's pictures lie in a video."""

    file: Path
    from_s: float
    """Where its first frame stands."""


@dataclass(frozen=True)
class LerobotEpisode:
    """Where one episode lies."""

    index: int
    length: int
    """Frames."""
    data_file: Path
    video: VideoPart | None
    """``None``: the pictures are in the data file."""

    @property
    def sources(self) -> list[Path]:
        """The files that it is read from."""
        return [self.data_file] if self.video is None else [self.data_file, self.video.file]

    @property
    def identity(self) -> str:
        """What it is called: its number in the data set."""
        return f"episode_{self.index:06d}"


@dataclass(frozen=True)
class LerobotLayout:
    """A data set before its data is read."""

    root: Path
    fps: float
    camera: str
    """The front camera's key."""
    order: dict[str, tuple[int, ...]]
    """For states and actions: where each of the robot's joints stands in a row of the file."""
    instructions: dict[int, str]
    """By task index."""
    episodes: tuple[LerobotEpisode, ...]


def read_layout(root: Path, robot: RobotFacts, camera: str | None) -> LerobotLayout:
    """Read ``meta/`` and check that it is of the robot.

    Args:
        root: the folder that holds ``meta/info.json``.
        robot: what is expected.
        camera: key of the pictures to use; ``None`` where there is only one.

    Raises:
        DataError: another version, robot or camera, or the data set contradicts itself.
    """
    try:
        info = json.loads((root / "meta" / "info.json").read_text(encoding="utf-8"))
        if info["codebase_version"] != VERSION:
            raise DataError(
                f"{root} is a LeRobot data set of version {info['codebase_version']}, read is {VERSION}: "
                f"convert it with LeRobot's own converter"
            )
        features, fps = info["features"], float(info["fps"])
        key = _camera_key(root, features, camera)
        check_camera(_picture_size(features[key]), fps, robot, f"{root.name}: {key}")
        order = {name: _joint_order(features, name, robot, root) for name in (STATE_KEY, ACTION_KEY)}
        in_videos = features[key]["dtype"] == "video"
        episodes = _episodes(root, info, key if in_videos else None)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{root}: its meta/ folder is not that of a LeRobot data set {VERSION}: {error!r}"
        ) from error
    return LerobotLayout(root, fps, key, order, _instructions(root), episodes)


def _camera_key(root: Path, features: dict[str, Any], camera: str | None) -> str:
    cameras = sorted(name for name, feature in features.items() if feature["dtype"] in _PICTURES)
    if camera is not None and camera not in cameras:
        raise DataError(f"{root}: '{camera}' is none of its cameras {cameras}")
    if camera is None and len(cameras) != 1:
        raise DataError(
            f"{root}: has the cameras {cameras}; say which one is the front camera "
            f"(--camera; in a stage --data.source.camera)"
        )
    return camera or cameras[0]


def _picture_size(feature: dict[str, Any]) -> tuple[int, int]:
    """Width and height; the format has both (h, w, c) and (c, h, w), and its names say which."""
    names = [str(name)[0].lower() for name in feature["names"]]
    shape = [int(length) for length in feature["shape"]]
    return shape[names.index("w")], shape[names.index("h")]


def _joint_order(features: dict[str, Any], key: str, robot: RobotFacts, root: Path) -> tuple[int, ...]:
    names = features[key]["names"]
    if isinstance(names, dict):  # {"motors": [...]}, as older recordings have it
        names = [name for part in names.values() for name in part]
    names = [str(name).removesuffix(".pos") for name in names or range(features[key]["shape"][0])]
    check_joint_names(names, robot, f"{root.name}: {key}")
    return tuple(names.index(name) for name in robot.joint_names)


def _instructions(root: Path) -> dict[int, str]:
    """The sentences are the index of a data frame: its column's name depends on who wrote it."""
    path = root / "meta" / "tasks.parquet"
    try:
        table = pq.read_table(path)
        sentences = next(
            table.column(field.name)
            for field in table.schema
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        )
        return dict(zip(table.column("task_index").to_pylist(), sentences.to_pylist(), strict=True))
    except (OSError, KeyError, StopIteration, pa.ArrowException) as error:
        raise DataError(f"{path}: no tasks can be read from it: {error!r}") from error


def _episodes(root: Path, info: dict[str, Any], video: str | None) -> tuple[LerobotEpisode, ...]:
    """Those of the data set; ``video`` is the key of the videos, if pictures are in any."""
    files = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise DataError(f"{root}: meta/episodes holds no file: was the recording finalised?")
    columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    if video is not None:
        columns += [f"videos/{video}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
    rows = [row for file in files for row in _table(file, columns).to_pylist()]
    return tuple(
        LerobotEpisode(
            index=row["episode_index"],
            length=row["length"],
            data_file=root / _filled(info["data_path"], row, "data"),
            video=None if video is None else _video_part(root, info, video, row),
        )
        for row in sorted(rows, key=lambda row: row["episode_index"])
    )


def _video_part(root: Path, info: dict[str, Any], key: str, row: dict[str, Any]) -> VideoPart:
    file = root / _filled(info["video_path"], row, f"videos/{key}", video_key=key)
    return VideoPart(file, row[f"videos/{key}/from_timestamp"])


def _filled(template: str, row: dict[str, Any], prefix: str, **names: str) -> str:
    places = {name: row[f"{prefix}/{name}"] for name in ("chunk_index", "file_index")}
    return template.format(**places, **names)


def _table(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise CorruptShard(f"{path}: {error}") from error
