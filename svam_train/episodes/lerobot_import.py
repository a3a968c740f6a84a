"""An episode of a LeRobot v3.0 data set as an episode to learn from.

Its frames are ``1 / fps`` apart by definition, and action ``i`` is what is to be reached when frame
``i + 1`` is due. Needs pyarrow and PyAV, and nothing of LeRobot.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from svam_ros.translation.preprocessing import ImagePreparation, prepare_image
from svam_train.episodes.control_grid import PictureGrid, targets_on_grid
from svam_train.episodes.episodes import CorruptShard, DataError, Episode, RobotFacts
from svam_train.episodes.lerobot_layout import ACTION_KEY, STATE_KEY, LerobotEpisode, LerobotLayout
from svam_train.episodes.lerobot_pictures import stored_pictures, video_frames
from svam_train.episodes.robot_checks import check_camera


def import_lerobot(
    layout: LerobotLayout,
    place: LerobotEpisode,
    preparation: ImagePreparation,
    robot: RobotFacts,
    stride: int,
) -> Episode:
    """Read one episode and decode its pictures.

    Args:
        layout: the data set.
        place: the episode.
        preparation: of the pictures.
        robot: what is expected.
        stride: control steps from one picture to the next.

    Raises:
        CorruptShard: its Parquet file, its video or a picture is damaged.
        DataError: another camera, two tasks in one episode, or not what ``meta/`` says.
    """
    table = _rows(layout, place)
    states = _matrix(table, STATE_KEY, layout, place)
    actions = _matrix(table, ACTION_KEY, layout, place)
    instruction = _instruction(table, layout, place)
    grid = PictureGrid(robot.control_period_s, stride)
    for number, frame in enumerate(_frames(table, layout, place)):
        check_camera((frame.width, frame.height), layout.fps, robot, place.identity)

        def picture(frame: av.VideoFrame = frame) -> NDArray[np.uint8]:
            return prepare_image(frame.to_ndarray(format="rgb24"), preparation)

        grid.offer(number / layout.fps, states[number], picture)
    try:
        steps = grid.steps(place.length / layout.fps)
        images, joints, lateness = grid.rows(steps)
        due_s = (np.arange(place.length) + 1) / layout.fps
        targets = targets_on_grid(due_s, actions, steps, robot.control_period_s)
    except DataError as error:
        raise DataError(f"'{place.identity}' of {layout.root}: {error}") from error
    return Episode(place.identity, instruction, instruction, stride, images, joints, targets, lateness)


def _frames(table: pa.Table, layout: LerobotLayout, place: LerobotEpisode) -> Iterator[av.VideoFrame]:
    if place.video is not None:
        return video_frames(place.video, place, layout.fps)
    return stored_pictures(table.column(layout.camera), place.data_file, place)


def _rows(layout: LerobotLayout, place: LerobotEpisode) -> pa.Table:
    """The episode's rows of its Parquet file, in the order of its frames."""
    try:
        columns = [STATE_KEY, ACTION_KEY, "episode_index", "frame_index", "task_index"]
        if place.video is None:
            columns.append(layout.camera)
        table = _data_file(place.data_file, place.data_file.stat().st_mtime_ns, tuple(columns))
    except (OSError, pa.ArrowException) as error:
        raise CorruptShard(f"{place.data_file}: {error}") from error
    table = table.filter(pa.compute.equal(table.column("episode_index"), place.index)).sort_by("frame_index")
    if table.column("frame_index").to_pylist() != list(range(place.length)):
        raise DataError(
            f"'{place.identity}' of {layout.root}: meta/episodes says {place.length} frames, "
            f"{place.data_file} holds {table.num_rows} of it, or others than these"
        )
    return table


@lru_cache(maxsize=1)
def _data_file(path: Path, modified_ns: int, columns: tuple[str, ...]) -> pa.Table:
    """Read once for all the episodes in it, which come one after the other."""
    return pq.read_table(path, columns=list(columns))


def _matrix(table: pa.Table, key: str, layout: LerobotLayout, place: LerobotEpisode) -> NDArray[np.float64]:
    """``(frames, joints)`` in the robot's order."""
    values = np.array(table.column(key).to_pylist(), dtype=np.float64)
    order = layout.order[key]
    if values.shape != (place.length, len(order)):
        raise DataError(
            f"'{place.identity}' of {layout.root}: '{key}' is {values.shape}, expected are "
            f"{(place.length, len(order))} numbers"
        )
    return values[:, order]


def _instruction(table: pa.Table, layout: LerobotLayout, place: LerobotEpisode) -> str:
    tasks = sorted(set(table.column("task_index").to_pylist()))
    if len(tasks) != 1 or tasks[0] not in layout.instructions:
        raise DataError(
            f"'{place.identity}' of {layout.root}: has the tasks {tasks}, meta/tasks.parquet has "
            f"{sorted(layout.instructions)}; an episode must have exactly one of these"
        )
    return layout.instructions[tasks[0]]
