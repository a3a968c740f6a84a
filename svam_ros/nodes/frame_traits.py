"""What policy_node knows of every frame, though it decodes few: whether pictures change, and their light."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from svam_ros.control.camera_watch import FrameTraits

_SAMPLE_STRIDE = 997
"""Bytes from one looked at to the next: a prime, so that it meets every channel and column. 924 of a raw
640x480 picture."""
_NOT_BRIGHTNESS = ("yu", "uyvy")
"""Beginnings of encodings whose bytes are not all brightness: black has 128 in every second one."""


def frame_traits(message: Any, *, is_compressed: bool) -> FrameTraits:
    """Of an ``Image`` or ``CompressedImage``, whatever is wrong with it. Takes 0.3 ms for 640x480 RGB."""
    content = np.frombuffer(message.data, np.uint8)
    digest = zlib.crc32(message.data)
    sample = content[::_SAMPLE_STRIDE]
    unknown = is_compressed or len(sample) == 0 or message.encoding.startswith(_NOT_BRIGHTNESS)
    return FrameTraits(digest, None if unknown else float(sample.mean()))
