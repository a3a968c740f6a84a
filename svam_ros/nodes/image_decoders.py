"""Which function decodes raw images: ours, or cv_bridge where an apt install of ROS has it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from svam_ros.translation.images import check_colour_image, decode_colour_image
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ImageArray


def choose_raw_decoder(name: str, three_channel_order: str) -> Callable[[Any], ImageArray]:
    """The decoder called ``numpy`` or ``cv_bridge``: ``sensor_msgs/Image`` -> ``(h, w, 3)`` RGB.

    Raises:
        ImportError: cv_bridge was asked for and is not installed.
    """
    if name == "numpy":
        return partial(decode_colour_image, three_channel_order=three_channel_order)
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise ImportError(
            "image_decoder is 'cv_bridge', but cv_bridge cannot be imported: install "
            "ros-<distro>-cv-bridge with apt, or set image_decoder to 'numpy'"
        ) from error
    bridge = CvBridge()

    def decode(message: Any) -> ImageArray:
        check_colour_image(message)  # cv_bridge takes sizes, steps and lengths on trust
        try:
            return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="rgb8"), dtype=np.uint8)
        except (CvBridgeError, ValueError, TypeError) as error:
            raise RejectedMessage(f"cv_bridge cannot decode the image: {error}") from error

    return decode
