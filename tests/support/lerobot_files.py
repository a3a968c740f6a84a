"""A small LeRobot data set of version 3.0, written with pyarrow and PyAV as LeRobot lays it out."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from svam_ros.cobot import load_cobot

COBOT = load_cobot()
KEY = "observation.images.front"
WIDTH, HEIGHT = 640, 480


def brightness(episode: int, frame: int) -> int:
    """Grey value that a frame is filled with: says which one it is, through any codec."""
    return 40 + 60 * (episode % 3) + 2 * frame


def joints_at(episode: int, seconds: float) -> np.ndarray:
    """``(14,)`` rad and m, within the limits."""
    return COBOT.home + 0.02 * (episode + 1) * seconds * np.tile([1, 1, 1, 1, 1, 1, -0.2], 2)


def write_lerobot(
    root: Path, lengths=(24, 30), fps=30, names=None, size=(WIDTH, HEIGHT), episodes_per_file=2, videos=True
) -> Path:
    """Every episode has a sentence of its own; actions are the joints of the next frame.

    Without ``videos`` the pictures are PNG files in the rows.
    """
    names = list(names or COBOT.joint_names)
    order = [COBOT.joint_names.index(name) if name in COBOT.joint_names else 0 for name in names]
    rows, index = [], 0
    files: dict[int, list[dict]] = {}
    for episode, length in enumerate(lengths):
        file = episode // episodes_per_file
        start = len(files.setdefault(file, []))
        for frame in range(length):
            files[file].append(
                {
                    "observation.state": joints_at(episode, frame / fps)[order].astype(np.float32).tolist(),
                    "action": joints_at(episode, (frame + 1) / fps)[order].astype(np.float32).tolist(),
                    "timestamp": frame / fps,
                    "frame_index": frame,
                    "episode_index": episode,
                    "index": index + frame,
                    "task_index": episode % 2,
                }
            )
            if not videos:
                files[file][-1][KEY] = {"bytes": _png(episode, frame, size), "path": f"frame-{frame:06d}.png"}
        rows.append(
            {
                "episode_index": episode,
                "tasks": [f"sentence {episode % 2}"],
                "length": length,
                "data/chunk_index": 0,
                "data/file_index": file,
                "dataset_from_index": index,
                "dataset_to_index": index + length,
            }
        )
        if videos:
            rows[-1] |= {
                f"videos/{KEY}/chunk_index": 0,
                f"videos/{KEY}/file_index": file,
                f"videos/{KEY}/from_timestamp": start / fps,
                f"videos/{KEY}/to_timestamp": (start + length) / fps,
            }
        index += length
    for file, frames in files.items():
        _parquet(root / f"data/chunk-000/file-{file:03d}.parquet", frames)
        if videos:
            _video(root / f"videos/{KEY}/chunk-000/file-{file:03d}.mp4", frames, fps, size)
    _parquet(root / "meta/episodes/chunk-000/file-000.parquet", rows)
    tasks = [{"task_index": task, "__index_level_0__": f"sentence {task}"} for task in range(2)]
    _parquet(root / "meta/tasks.parquet", tasks)
    _info(root, names, fps, size, rows, "video" if videos else "image")
    return root


def _info(root: Path, names, fps, size, rows, kind) -> None:
    numbers = {"dtype": "float32", "shape": [len(names)], "names": names}
    pictures = {"dtype": kind, "shape": [size[1], size[0], 3], "names": ["height", "width", "channels"]}
    info = {
        "codebase_version": "v3.0",
        "robot_type": "cobot",
        "total_episodes": len(rows),
        "total_frames": sum(row["length"] for row in rows),
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": fps,
        "splits": {"train": f"0:{len(rows)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {KEY: pictures, "observation.state": numbers, "action": numbers},
    }
    (root / "meta" / "info.json").write_text(json.dumps(info))


def _parquet(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _png(episode: int, frame: int, size: tuple[int, int]) -> bytes:
    picture = np.full((size[1], size[0], 3), brightness(episode, frame), np.uint8)
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = size[0], size[1], "rgb24", Fraction(1, 30)
    packets = codec.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")) + codec.encode(None)
    return b"".join(bytes(packet) for packet in packets)


def _video(path: Path, frames: list[dict], fps: int, size: tuple[int, int]) -> None:
    """Long groups of pictures: an episode hardly ever begins with a key frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "g": "40"})
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
        for row in frames:
            value = brightness(row["episode_index"], row["frame_index"])
            picture = np.full((size[1], size[0], 3), value, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
