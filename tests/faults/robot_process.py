"""A part of a Cobot that misbehaves when told to: ``python -m faults.robot_process camera left right``.

One JSON object a line on standard input changes how it behaves, for instance ``{"camera": "frozen"}``; each
is answered by a line once it is in force. Left alone it is a sound robot.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from support.fake_cobot import FakeCobot

from svam_ros.cobot import ARM_NAMES, load_robot_profile
from svam_ros.nodes.message_conversion import command_message, time_message
from svam_ros.parameters import SimulationParameters
from svam_ros.translation.commands import arm_command
from svam_ros.translation.joint_states import read_command
from svam_ros.translation.stamps import stamp_to_ns

CAMERA = "camera"
BURST_FRAMES = 30
_SHIFTS_MS = {"old": -5000.0, "ahead": 5000.0, "a_little_ahead": 50.0, "a_little_old": -50.0}


class FaultyCobot(FakeCobot):
    """The parts that it was asked to be: the camera, and arms."""

    def __init__(self, parts: list[str]) -> None:
        self._camera_mode = "sound"
        self._states_mode = "sound"
        self._blocked: tuple[int, float] | None = None
        self._frames = 0
        self._late_frames: list[Image] = []
        self._last_states: dict[str, list[JointState]] = {arm: [] for arm in ARM_NAMES}
        self._arms = [arm for arm in ARM_NAMES if arm in parts]
        super().__init__(load_robot_profile(SimulationParameters().profile), camera=CAMERA in parts)

    def obey(self, order: dict[str, Any]) -> None:
        """Change how it behaves.

        Raises:
            ValueError: it cannot behave so.
        """
        for what, how in order.items():
            if what == "camera":
                self.camera_is_frozen = how == "frozen"
                self._camera_mode, self._late_frames = how, []
                self.frame[:] = {"black": 0, "white": 255}.get(how, 127)
            elif what == "states":
                self._states_mode = how
            elif what == "blocked":
                self._blocked = None if how is None else (int(how), float(self.positions[int(how)]))
            elif what == "clock":
                self.node.set_parameters([Parameter("use_sim_time", value=how == "topic")])
            elif what == "place":
                self.positions = np.array(how, dtype=np.float64)
            else:
                raise ValueError(f"nothing here is called {what}")

    # -- camera -----------------------------------------------------------------------------------

    def _publish_frame(self) -> None:
        mode = self._camera_mode
        self._frames += 1
        if mode == "jpeg":
            self.send_compressed(_JPEGS[self._frames % 2])
            return
        if mode == "silent" or (mode == "five_hz" and self._frames % 6):
            return
        if not self.camera_is_frozen:
            self.frame[0, 0] ^= 1  # The noise that every real camera has.
        message = _frame_message(self)
        if mode in _SHIFTS_MS:
            stamp_ns = stamp_to_ns(message.header.stamp) + round(_SHIFTS_MS[mode] * 1e6)
            message.header.stamp = time_message(stamp_ns)
        elif mode in _SPOILERS:
            _SPOILERS[mode](message)
        elif mode == "burst" and len(self._late_frames) < BURST_FRAMES:
            self._late_frames.append(message)
            return
        elif mode == "burst":
            for late in self._late_frames:
                self._images.publish(late)
            self._camera_mode, self._late_frames = "sound", []
        self._images.publish(message)

    # -- arms -------------------------------------------------------------------------------------

    def tell_states(self) -> None:
        if self._states_mode == "silent":
            return
        for arm in self._arms:
            positions = self.positions[self.cobot.arm_slice(arm)]
            command = arm_command(self.profile, arm, positions, np.zeros(7))
            state = replace(command, joint_names=self.profile.arms[arm].state_joint_names)
            message = command_message(state, self.now_ns())
            self._spoil_state(arm, message)

    def _spoil_state(self, arm: str, message: JointState) -> None:
        mode, recent = self._states_mode, self._last_states[arm]
        recent.append(message)
        del recent[:-100]
        if mode == "nan":
            message.position[2] = float("nan")
        elif mode == "missing_joint":
            message.name, message.position = message.name[:-1], message.position[:-1]
            message.velocity = message.velocity[:-1]
        elif mode == "reordered":
            order = [3, 1, 6, 0, 2, 5, 4]
            message.name = [message.name[i] for i in order]
            message.position = [message.position[i] for i in order]
            message.velocity = [message.velocity[i] for i in order]
        elif mode == "repeated":
            message = recent[0]
            del recent[1:]
        elif mode == "late" and len(recent) > 20:
            message = recent[-21]
        self._states[arm].publish(message)

    def _on_command(self, arm: str, message: JointState) -> None:
        if arm not in self._arms:
            return
        self.positions[self.cobot.arm_slice(arm)] = read_command(message, self.profile, arm).positions
        if self._blocked is not None:
            joint, where = self._blocked
            self.positions[joint] = where


def _frame_message(robot: FakeCobot) -> Image:
    from svam_ros.nodes.message_conversion import image_message

    return image_message(robot.frame, robot.now_ns(), robot.profile.camera.frame_id)


def _wrong_encoding(message: Image) -> None:
    message.encoding = "32FC1"


def _wrong_size(message: Image) -> None:
    message.height, message.data = 240, message.data[: len(message.data) // 2]


def _wrong_step(message: Image) -> None:
    message.step = 0


def _truncated(message: Image) -> None:
    message.data = message.data[:-5000]


def _jpeg(brightness: int) -> bytes:
    return cv2.imencode(".jpg", np.full((480, 640, 3), brightness, np.uint8))[1].tobytes()


_JPEGS = (_jpeg(127), _jpeg(129))
"""A camera's noise makes every picture another."""

_SPOILERS: dict[str, Callable[[Image], None]] = {
    "wrong_encoding": _wrong_encoding,
    "wrong_size": _wrong_size,
    "wrong_step": _wrong_step,
    "truncated": _truncated,
}


def main(parts: list[str]) -> int:
    """Be these parts until standard input ends."""
    robot = FaultyCobot(parts)
    print("ready", flush=True)
    for line in sys.stdin:
        robot.obey(json.loads(line))
        print(time.monotonic_ns(), flush=True)
    robot.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
