"""What a policy saw, as a film: an mp4 that any browser shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2

from svam_ros.types import ImageArray
from svam_ros.whole_files import whole_file

HEIGHT = 240
"""Of a film: enough to see what went wrong."""


def write_film(path: Path, frames: Sequence[ImageArray], rate_hz: float, caption: str) -> None:
    """Write pictures ``(h, w, 3)`` RGB as H.264, shown at ``rate_hz``.

    Args:
        path: of the mp4; the file appears whole or not at all.
        frames: of equal size.
        rate_hz: pictures a second; rounded to whole ones.
        caption: written into every picture.

    Raises:
        ValueError: there is nothing to show.
        OSError: the file cannot be written.
    """
    if not frames:
        raise ValueError(f"{path.name}: no pictures to make a film of")
    height, width = frames[0].shape[:2]
    size = (2 * round(width * HEIGHT / height / 2), HEIGHT)  # H.264 halves both for its colours
    with whole_file(path) as part, av.open(str(part), "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=max(1, round(rate_hz)))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in frames:
            picture = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            cv2.putText(picture, caption, (6, HEIGHT - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode(None))
