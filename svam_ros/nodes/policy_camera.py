"""The camera's topic as frames that are decoded only where they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from svam_ros import graph
from svam_ros.cobot import CameraProfile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.frame_traits import frame_traits
from svam_ros.nodes.image_decoders import choose_raw_decoder
from svam_ros.nodes.inference_loop import InferenceLoop, PendingFrame
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.parameters import PolicyParameters
from svam_ros.translation.images import camera_frame, decode_compressed_image
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import ImageArray


def subscribe_camera(
    inputs: PolledSubscriptions,
    parameters: PolicyParameters,
    camera: CameraProfile,
    loop: Callable[[], InferenceLoop | None],
) -> None:
    """Hand every frame to the loop that runs when it arrives, if one does.

    Raises:
        ImportError: the decoder that was asked for is not installed.
    """
    compressed = parameters.image_transport == "compressed"
    decode: Callable[[Any], ImageArray] = decode_compressed_image
    if not compressed:
        decode = choose_raw_decoder(parameters.image_decoder, camera.encoding)

    def receive(message: Any) -> None:
        running = loop()
        if running is None:
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        traits = frame_traits(message, is_compressed=compressed)
        running.add_frame(
            PendingFrame(stamp_ns, traits, lambda: camera_frame(decode(message), stamp_ns, camera))
        )

    topic = graph.compressed_sibling(camera.image_topic) if compressed else camera.image_topic
    inputs.subscribe(CompressedImage if compressed else Image, topic, receive, qos.NEWEST_FRAME)
