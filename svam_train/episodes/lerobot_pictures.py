"""Pictures of an episode of a LeRobot v3.0 data set: a part of a video, or files in the rows of a table."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import pyarrow as pa

from svam_train.episodes.episodes import CorruptShard
from svam_train.episodes.lerobot_layout import LerobotEpisode, VideoPart


def video_frames(video: VideoPart, place: LerobotEpisode, fps: float) -> Iterator[av.VideoFrame]:
    """All frames of the episode, in order.

    Raises:
        CorruptShard: the video cannot be decoded, or a frame is not in it.
    """
    expected = 0
    try:
        with av.open(str(video.file)) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None  # of a stream that can be decoded
            container.seek(round(video.from_s / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                assert isinstance(frame, av.VideoFrame)
                number = round(((frame.time or 0.0) - video.from_s) * fps)
                if number < expected:
                    continue
                if number > expected or expected == place.length:
                    break
                yield frame
                expected += 1
    except (OSError, av.FFmpegError, IndexError) as error:
        raise CorruptShard(f"{video.file}: cannot be decoded: {error}") from error
    if expected < place.length:
        raise CorruptShard(
            f"{video.file}: frame {expected} of '{place.identity}', due at "
            f"{video.from_s + expected / fps:.3f} s, is not in the video"
        )


def stored_pictures(column: pa.ChunkedArray, source: Path, place: LerobotEpisode) -> Iterator[av.VideoFrame]:
    """All pictures of the episode, in order.

    Args:
        column: ``{"bytes": a PNG or JPEG file, "path": its name}`` of every frame.
        source: the file that it was read from, for the error.
        place: the episode.

    Raises:
        CorruptShard: a row holds no picture, or a damaged one.
    """
    for number, stored in enumerate(column):
        file = (stored.as_py() or {}).get("bytes")
        where = f"{source}: picture {number} of '{place.identity}'"
        if file is None:
            raise CorruptShard(f"{where} is not in it: was the recording finalised?")
        try:
            with av.open(io.BytesIO(file)) as container:
                yield next(container.decode(video=0))
        except (OSError, av.FFmpegError, IndexError, StopIteration) as error:
            raise CorruptShard(f"{where} cannot be decoded: {error}") from error
