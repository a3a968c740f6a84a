"""From an observation to the network's input arrays: the same function live, in replay and in training.

The model directory says how (``ImagePreparation`` in its manifest); nothing here has a default, so
that a network can never be fed otherwise than it was trained.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from svam_ros.translation.antialiased_resize import resize_antialiased
from svam_ros.types import ImageArray, Observation

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class ImagePreparation:
    """How a camera frame becomes the square picture that the network sees."""

    crop: Literal["centre_square", "squash"]
    """'centre_square' keeps the aspect ratio and loses the sides; 'squash' keeps the whole view."""
    size: int
    """Side of the square, pixels."""
    interpolation: Literal["area", "linear", "linear_antialias"]
    """'area' averages (no aliasing when shrinking); 'linear' is plain bilinear; 'linear_antialias' is
    torchvision's resize, with which published networks were shown their pictures."""


@dataclass(frozen=True)
class ModelInput:
    """What goes into the network for one observation."""

    image: NDArray[np.float32]
    """``(3, size, size)`` RGB in [-1, 1]."""
    joints: NDArray[np.float32]
    """``(14,)`` rad and m, not yet normalised."""

    def digest(self) -> str:
        """Short hash of both arrays: equal digests mean bit-equal inputs."""
        return hashlib.sha256(self.image.tobytes() + self.joints.tobytes()).hexdigest()[:16]


def crop_picture(picture: NDArray[Scalar], preparation: ImagePreparation) -> NDArray[Scalar]:
    """The part of ``(h, w, ...)`` that the network sees, as a view: colour, depth and classes alike."""
    if preparation.crop == "squash":
        return picture
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def prepare_image(rgb: ImageArray, preparation: ImagePreparation) -> ImageArray:
    """Crop and resize ``(h, w, 3)`` uint8 to ``(size, size, 3)`` uint8."""
    rgb = crop_picture(rgb, preparation)
    if preparation.interpolation == "linear_antialias":
        return resize_antialiased(rgb, preparation.size)
    flag = cv2.INTER_AREA if preparation.interpolation == "area" else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(rgb, (preparation.size, preparation.size), interpolation=flag), dtype=np.uint8
    )


def image_to_network(rgb: ImageArray) -> NDArray[np.float32]:
    """``(..., h, w, 3)`` uint8 -> ``(..., 3, h, w)`` float32 in [-1, 1]."""
    scaled = rgb.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))


def prepare_observation(observation: Observation, preparation: ImagePreparation) -> ModelInput:
    """Everything that happens to an observation before the network."""
    image = image_to_network(prepare_image(observation.frame.rgb, preparation))
    return ModelInput(image, observation.arms.positions.astype(np.float32))
