"""Image messages to pixels: one small, checked function for raw images and one for compressed ones.

Works on anything with the fields of ``sensor_msgs/Image`` or ``CompressedImage``: live rclpy messages
and messages read back from an episode file give the same pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from svam_ros.cobot import CameraProfile
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import CameraFrame, ImageArray

_BYTES_PER_PIXEL = {
    "rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1,
    "yuv422": 2, "uyvy": 2, "yuv422_yuy2": 2, "yuyv": 2,
    "bayer_rggb8": 1, "bayer_bggr8": 1, "bayer_gbrg8": 1, "bayer_grbg8": 1,
}  # fmt: skip

# OpenCV names a Bayer pattern by the second row's second pixel, ROS by the first row's first.
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB, "8UC1": cv2.COLOR_GRAY2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY, "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2, "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB, "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB, "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}  # fmt: skip

_DEPTH_TYPES = {"16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3), "32FC1": ("f4", 1.0)}
MAX_SIDE_PIXELS = 8192


def decode_colour_image(message: Any, three_channel_order: str = "rgb8") -> ImageArray:
    """``sensor_msgs/Image`` -> ``(height, width, 3)`` uint8 RGB.

    Args:
        message: the image; rows may be padded (``step``).
        three_channel_order: what the ambiguous encoding ``8UC3`` stands for, from the robot profile.

    Raises:
        RejectedMessage: unknown or depth encoding, impossible size, step or length.
    """
    encoding = message.encoding
    rows = check_colour_image(message)
    pixel_bytes = _BYTES_PER_PIXEL[encoding]
    shape = (message.height, message.width, pixel_bytes)
    pixels = rows.reshape(shape) if pixel_bytes > 1 else rows
    if encoding == "8UC3":
        encoding = three_channel_order
    if encoding in _TO_RGB:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), _TO_RGB[encoding]), dtype=np.uint8)
    return np.ascontiguousarray(pixels)


def check_colour_image(message: Any) -> NDArray[np.uint8]:
    """Whether an image message can be what it says, whoever decodes it then.

    Returns:
        Its rows without padding, ``(height, width * bytes per pixel)``, as a view where possible.

    Raises:
        RejectedMessage: unknown or depth encoding, impossible size, step or length.
    """
    if message.encoding not in _BYTES_PER_PIXEL:
        known = ", ".join(_BYTES_PER_PIXEL)
        raise RejectedMessage(f"image encoding '{message.encoding}' is not a colour picture; known: {known}")
    return _rows(message, _BYTES_PER_PIXEL[message.encoding])


def decode_depth_image(message: Any) -> NDArray[np.float32]:
    """``sensor_msgs/Image`` of 16UC1 (mm) or 32FC1 (m) -> ``(height, width)`` float32 metres.

    Raises:
        RejectedMessage: not a depth encoding, or an impossible size, step or length.
    """
    if message.encoding not in _DEPTH_TYPES:
        raise RejectedMessage(
            f"image encoding '{message.encoding}' is not depth; known: {', '.join(_DEPTH_TYPES)}"
        )
    kind, metres = _DEPTH_TYPES[message.encoding]
    dtype = np.dtype((">" if message.is_bigendian else "<") + kind)
    values = np.ascontiguousarray(_rows(message, dtype.itemsize)).view(dtype)
    return values.astype(np.float32) * np.float32(metres)


def decode_compressed_image(message: Any) -> ImageArray:
    """``sensor_msgs/CompressedImage`` (JPEG or PNG) -> ``(height, width, 3)`` uint8 RGB.

    Raises:
        RejectedMessage: the bytes are no picture.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise RejectedMessage(
            f"compressed image of format '{message.format}' and {data.size} bytes cannot be decoded"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def camera_frame(rgb: ImageArray, stamp_ns: int, camera: CameraProfile) -> CameraFrame:
    """A decoded picture as the frame of the profile's camera.

    Raises:
        RejectedMessage: the picture has another size: it is some other camera, or a driver set otherwise.
    """
    height, width = rgb.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise RejectedMessage(
            f"the picture is {width}x{height} pixels, "
            f"the robot profile expects {camera.width}x{camera.height}"
        )
    return CameraFrame(rgb, stamp_ns)


def _rows(message: Any, pixel_bytes: int) -> NDArray[np.uint8]:
    """The image's rows without padding, ``(height, width * pixel_bytes)``, as a view where possible."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not (0 < height <= MAX_SIDE_PIXELS and 0 < width <= MAX_SIDE_PIXELS):
        raise RejectedMessage(f"image is {width}x{height} pixels, allowed is 1 to {MAX_SIDE_PIXELS} a side")
    if step < width * pixel_bytes:
        raise RejectedMessage(
            f"image step is {step} bytes, a row of {width} pixels {message.encoding} "
            f"needs {width * pixel_bytes}"
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size < step * height:
        raise RejectedMessage(
            f"image data has {data.size} bytes, {height} rows of {step} bytes need {step * height}"
        )
    return data[: step * height].reshape(height, step)[:, : width * pixel_bytes]
