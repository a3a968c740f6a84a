from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.messages import image

from svam_ros.cobot import load_robot_profile
from svam_ros.translation.images import (
    camera_frame,
    decode_colour_image,
    decode_compressed_image,
    decode_depth_image,
)
from svam_ros.translation.rejection import RejectedMessage

RGB = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("rgba8", np.dstack([RGB, np.full((6, 8), 9, np.uint8)])),
        ("bgra8", np.dstack([RGB[..., ::-1], np.full((6, 8), 9, np.uint8)])),
    ],
)
def test_colour_encodings_give_the_same_rgb_pixels(encoding, pixels, padding):
    assert np.array_equal(decode_colour_image(image(pixels, encoding, padding=padding)), RGB)


def test_8uc3_follows_the_profiles_order():
    message = image(RGB, "8UC3")
    assert np.array_equal(decode_colour_image(message, "rgb8"), RGB)
    assert np.array_equal(decode_colour_image(message, "bgr8"), RGB[..., ::-1])


def test_mono_becomes_three_equal_channels():
    grey = RGB[..., 0]
    assert np.array_equal(decode_colour_image(image(grey, "mono8")), np.dstack([grey] * 3))


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")])
def test_yuv_of_pure_red_is_red(encoding, order):
    y, u, v = 76, 85, 255
    pair = {"uyvy": [u, y, v, y], "yuyv": [y, u, y, v]}[order]
    packed = np.tile(np.array(pair, np.uint8), (4, 4)).reshape(4, 8, 2)
    red, green, blue = decode_colour_image(image(packed, encoding)).reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert green < 60
    assert blue < 60


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_of_a_red_wall_are_red(pattern):
    tile = np.array(
        [[200 if letter == "r" else 10 for letter in pattern[i : i + 2]] for i in (0, 2)], np.uint8
    )
    wall = np.tile(tile, (8, 8))
    centre = decode_colour_image(image(wall, f"bayer_{pattern}8"))[6, 6]
    assert centre[0] > 150
    assert centre[2] < 60


@pytest.mark.parametrize("bigendian", [False, True])
def test_depth_is_in_metres_whatever_the_byte_order(bigendian):
    order = ">" if bigendian else "<"
    millimetres = np.array([[1000, 250], [0, 65535]], dtype=order + "u2")
    metres = np.array([[1.5, 0.25]], dtype=order + "f4")
    decoded = decode_depth_image(image(millimetres, "16UC1", bigendian=bigendian))
    assert np.allclose(decoded, [[1.0, 0.25], [0.0, 65.535]])
    assert np.allclose(decode_depth_image(image(metres, "32FC1", bigendian=bigendian)), [[1.5, 0.25]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "32FC1"}, "32FC1"),
        ({"encoding": "nonsense"}, "nonsense"),
        ({"step": 0}, "step is 0"),
        ({"step": 23}, "needs 24"),
        ({"height": 0}, "8x0"),
        ({"width": 99999}, "99999"),
        ({"data": b"short"}, "5 bytes"),
        ({"data": b""}, "0 bytes"),
    ],
)
def test_impossible_images_are_rejected_with_what_was_got(change, words):
    message = image(RGB, "rgb8")
    vars(message).update(change)
    with pytest.raises(RejectedMessage, match=words):
        decode_colour_image(message)


def test_a_picture_of_another_size_is_not_the_profiles_camera():
    camera = load_robot_profile("cobot_magic").camera
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    assert camera_frame(rgb, 7, camera).stamp_ns == 7
    with pytest.raises(RejectedMessage, match="640x400"):
        camera_frame(rgb[:400], 7, camera)


def test_compressed_png_is_exact_and_rubbish_is_rejected():
    message = image(RGB, "rgb8")
    message.format = "png"
    message.data = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
    assert np.array_equal(decode_compressed_image(message), RGB)
    for rubbish in (b"", b"not a picture"):
        message.data = rubbish
        with pytest.raises(RejectedMessage, match="cannot be decoded"):
            decode_compressed_image(message)
