"""What is known of a frame before it is decoded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from svam_ros.nodes.frame_traits import frame_traits


def image(value: int, encoding: str = "rgb8", size: int = 480 * 640 * 3) -> SimpleNamespace:
    return SimpleNamespace(data=np.full(size, value, np.uint8).tobytes(), encoding=encoding)


def test_one_pixel_changes_the_digest_and_the_bytes_are_the_brightness():
    first, second = image(100), image(100)
    second.data = second.data[:-1] + b"\x65"
    traits = frame_traits(first, is_compressed=False)
    assert traits.brightness == 100.0
    assert traits == frame_traits(image(100), is_compressed=False)
    assert traits.digest != frame_traits(second, is_compressed=False).digest


@pytest.mark.parametrize(
    ("message", "is_compressed"),
    [(image(0, "yuv422"), False), (image(0, "yuyv"), False), (image(0, "uyvy"), False), (image(0), True),
     (image(0, size=0), False)],
)  # fmt: skip
def test_where_bytes_are_not_brightness_none_is_claimed(message, is_compressed):
    assert frame_traits(message, is_compressed=is_compressed).brightness is None
