"""MCAP episodes with real ROS messages on the clocks of a robot, and no robot."""

from __future__ import annotations

import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.recording.episode_writer import EpisodeWriter
from svam_ros.recording.message_schemas import message_schema
from svam_ros.recording.replay import parameter_key

COBOT = load_cobot()
PROFILE = load_robot_profile("cobot_magic")
START_NS = 1_900_000_000_000_000_000
COMMANDS_FROM_S = 0.31
WAY = 0.3 * np.tile([1, 1, 1, 1, 1, 1, -0.1], 2)


def commanded_at(seconds: float) -> np.ndarray:
    """``(14,)``: a curve that stays within the limits; ``seconds`` count from the recording's start."""
    return COBOT.home + WAY * np.sin(2.0 * seconds) ** 2


def measured_at(seconds: float) -> np.ndarray:
    """The arms follow 60 ms later."""
    return commanded_at(seconds - 0.06)


@dataclass(frozen=True)
class Recording:
    """What is recorded, and what goes wrong."""

    seconds: float = 2.0
    metadata: dict[str, str] = field(default_factory=dict)
    outcome: dict[str, str] = field(default_factory=lambda: {"success": "true"})
    camera_pause_s: tuple[float, float] = (9.0, 9.0)
    command_pause_s: tuple[float, float] = (9.0, 9.0)
    bad_set_point_at_s: float | None = None
    picture_size: tuple[int, int] = (PROFILE.camera.width, PROFILE.camera.height)

    def write(self, path: Path) -> Path:
        """Camera at 30 Hz, states at 200 Hz, set-points at 100 Hz from 0.31 s on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {
            "task": "lift_pot",
            "instruction": "lift the pot with both hands",
            parameter_key(graph.POLICY_NODE, "max_joint_age_ms"): "50.0",
            parameter_key(graph.POLICY_NODE, "profile"): "cobot_magic",
        }
        writer = EpisodeWriter(path, {**metadata, **self.metadata})
        sent = sorted(self._messages(), key=lambda entry: entry[0])
        for topic in sorted({topic for _, topic, _ in sent}):
            name = f"sensor_msgs/msg/{'Image' if topic == PROFILE.camera.image_topic else 'JointState'}"
            writer.add_topic(topic, name, message_schema(name))
        for seconds, topic, message in sent:
            ns = START_NS + round(seconds * 1e9)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(ns, 1_000_000_000)
            assert writer.write(topic, bytes(serialize_message(message)), ns, ns)
        writer.close(self.outcome)
        return path

    def _messages(self):
        for number, seconds in enumerate(np.arange(0.013, self.seconds, 1 / 30)):
            if not self.camera_pause_s[0] <= seconds < self.camera_pause_s[1]:
                yield seconds, PROFILE.camera.image_topic, picture(number, self.picture_size)
        for arm in ARM_NAMES:
            own = PROFILE.arms[arm]
            for seconds in np.arange(0.001, self.seconds, 0.005):
                yield seconds, own.state_topic, _joints(own.state_joint_names, measured_at(seconds), arm)
            for seconds in np.arange(COMMANDS_FROM_S, self.seconds, 0.01):
                if self.command_pause_s[0] <= seconds < self.command_pause_s[1]:
                    continue
                positions = commanded_at(seconds)
                if self.bad_set_point_at_s is not None and seconds >= self.bad_set_point_at_s:
                    positions = positions * np.nan
                yield seconds, own.command_topic, _joints(own.command_joint_names, positions, arm)


def picture(number: int, size: tuple[int, int] = (PROFILE.camera.width, PROFILE.camera.height)) -> Image:
    """Says by its brightness which one it is; its left half differs from its right."""
    pixels = np.full((size[1], size[0], 3), 10 + 2 * number, np.uint8)
    pixels[:, size[0] // 2 :] += 60
    height, width = pixels.shape[:2]
    data = array.array("B", pixels.tobytes())
    return Image(height=height, width=width, encoding="rgb8", step=width * 3, data=data)


def _joints(names, positions: np.ndarray, arm: str) -> JointState:
    own = positions[COBOT.arm_slice(arm)].tolist()
    return JointState(name=list(names), position=own, velocity=[0.0] * 7, effort=[0.0] * 7)
