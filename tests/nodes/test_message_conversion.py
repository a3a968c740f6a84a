"""Our messages survive the wire and are readable by other people's tools."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.nodes.message_conversion import (
    camera_info_message,
    chunk_message,
    command_message,
    image_message,
    status_message,
    status_values,
)
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.commands import arm_command
from svam_ros.translation.images import decode_colour_image
from svam_ros.translation.joint_states import read_command
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import ActionChunk

COBOT = load_cobot()
PROFILE = load_robot_profile("cobot_magic")
STAMP_NS = 1_795_000_000_123_456_789
STORE = get_typestore(Stores.ROS2_KILTED)


def over_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize("steps", [1, 8])
def test_a_chunk_comes_back_as_it_was(steps):
    rows = np.random.default_rng(0).normal(size=(steps, 14))
    chunk = ActionChunk(rows, STAMP_NS, 3, COBOT.control_period_s, "ab12cd34", 17)
    back = read_chunk(over_the_wire(chunk_message(chunk, COBOT.joint_names)), COBOT)
    assert np.array_equal(back.actions, rows)
    assert np.array_equal(back.target_times_ns(), chunk.target_times_ns())
    assert (back.run_id, back.sequence) == ("ab12cd34", 17)


def test_an_image_and_a_set_point_come_back_bit_for_bit():
    rgb = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    for encoding in ("rgb8", "bgr8"):
        message = over_the_wire(image_message(rgb, STAMP_NS, "camera", encoding))
        assert np.array_equal(decode_colour_image(message), rgb)
    positions = COBOT.home[:7]
    command = arm_command(PROFILE, "left", positions, np.zeros(7))
    reading = read_command(over_the_wire(command_message(command, STAMP_NS)), PROFILE, "left")
    assert np.array_equal(reading.positions, positions)
    assert reading.stamp_ns == STAMP_NS


@pytest.mark.parametrize("kind", [Image, CameraInfo, JointState, JointTrajectory])
def test_rosbags_reads_what_we_publish(kind):
    chunk = ActionChunk(np.zeros((8, 14)), STAMP_NS, 0, COBOT.control_period_s, "ab", 1)
    calibration = {
        "image_width": 640, "image_height": 480, "distortion_model": "plumb_bob",
        "distortion_coefficients": {"data": [0.0] * 5}, "camera_matrix": {"data": [1.0] * 9},
        "rectification_matrix": {"data": [1.0] * 9}, "projection_matrix": {"data": [1.0] * 12},
    }  # fmt: skip
    message = {
        Image: image_message(np.zeros((4, 4, 3), np.uint8), STAMP_NS, "camera"),
        CameraInfo: camera_info_message(calibration, STAMP_NS, "camera"),
        JointState: command_message(arm_command(PROFILE, "left", np.zeros(7), np.zeros(7)), STAMP_NS),
        JointTrajectory: chunk_message(chunk, COBOT.joint_names),
    }[kind]
    name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
    read = STORE.deserialize_cdr(serialize_message(message), name)
    assert stamp_to_ns(read.header.stamp) == STAMP_NS


def test_status_values_come_back_by_name():
    message = over_the_wire(status_message("mine", "text", {"a": 1, "b": "two"}, STAMP_NS, b"\x00"))
    assert status_values(message, "mine") == {"a": "1", "b": "two"}
    assert status_values(message, "other") == {}
