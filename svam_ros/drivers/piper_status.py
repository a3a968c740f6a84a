"""What a Piper arm says about itself, in words: why it would not follow a set-point.

Codes after AgileX's piper_sdk, interface V2 (https://github.com/agilexrobotics/piper_sdk): frames 0x2A1,
0x261 to 0x266 and 0x2A8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from svam_ros.drivers.piper_frames import CAN_CONTROL, STANDBY

BRAKE_ENGAGED = 6
"""Arm status that is none while the motors are off."""
ENABLED = 0x40
"""Bit of every motor's and the gripper's status."""
OLDEST_FIRMWARE = (1, 6, 3)
"""Before S-V1.6-3 the zeros of joints 2 and 3 are two degrees off."""

_CONTROL_MODES = {
    2: "is in teach mode",
    3: "is controlled over Ethernet",
    4: "is controlled over Wi-Fi",
    5: "is controlled by a remote",
    6: "is in leader mode",
    7: "plays a stored trajectory",
}
_ARM_STATUSES = {
    1: "is in emergency stop",
    2: "finds no solution for its target",
    3: "is at a singular point",
    4: "was given a target beyond its limits",
    5: "has lost a joint on its inner bus",
    6: "has a brake that is not released",
    7: "has hit something",
    8: "was dragged too fast while it was taught",
    9: "has a joint in an abnormal state",
    10: "reports an error that has no name",
    11: "is recording what it is taught",
    12: "plays what it was taught",
    13: "has paused what it was taught",
    14: "has an overheated main controller",
    15: "has an overheated discharge resistor",
}
_DRIVER_BITS = {
    0: "supply voltage too low",
    1: "motor overheated",
    2: "overcurrent",
    3: "driver overheated",
    5: "driver error",
}
_JOINT_BITS = {**_DRIVER_BITS, 4: "collision protection", 7: "stall protection"}
_GRIPPER_BITS = {**_DRIVER_BITS, 4: "sensor error"}


@dataclass(frozen=True)
class PiperStatus:
    """The newest codes of one arm."""

    control_mode: int
    arm_status: int
    error_bits: int
    """Bits 0 to 5: a joint is lost on the inner bus; bits 8 to 13: one stands beyond the firmware's limit."""
    joint_drivers: tuple[int, ...]
    """Six status bytes."""
    gripper_driver: int

    @property
    def without_power(self) -> tuple[str, ...]:
        """Names of those whose motors are off."""
        codes = dict(zip(JOINT_NAMES, (*self.joint_drivers, self.gripper_driver), strict=True))
        return tuple(name for name, code in codes.items() if not code & ENABLED)

    @property
    def is_ready(self) -> bool:
        """Every motor is on, and the arm takes set-points from the bus."""
        return not self.without_power and self.control_mode == CAN_CONTROL


JOINT_NAMES = (*(f"joint {number}" for number in range(1, 7)), "the gripper")


def troubles(status: PiperStatus) -> list[str]:
    """Everything about ``status`` that forbids to follow, each as a predicate of "the left arm"."""
    found = []
    if status.control_mode not in (STANDBY, CAN_CONTROL):
        unknown_mode = f"is in the unknown control mode {status.control_mode}"
        found.append(_CONTROL_MODES.get(status.control_mode, unknown_mode))
    off_and_braked = status.arm_status == BRAKE_ENGAGED and status.without_power
    if status.arm_status and not off_and_braked:
        found.append(_ARM_STATUSES.get(status.arm_status, f"has the unknown status {status.arm_status}"))
    for joint, name in enumerate(JOINT_NAMES[:-1]):
        if status.error_bits & (1 << joint):
            found.append(f"does not hear {name} on its inner bus")
        if status.error_bits & (1 << (joint + 8)):
            found.append(f"has {name} beyond its own limit: move it back by hand")
        found += _driver_troubles(name, status.joint_drivers[joint], _JOINT_BITS)
    return found + _driver_troubles(JOINT_NAMES[-1], status.gripper_driver, _GRIPPER_BITS)


def firmware_trouble(version: str) -> str:
    """Why an arm with this firmware is not moved; empty where it may be, or the version is not known."""
    match = re.fullmatch(r"S-V(\d+)\.(\d+)-(\d+)", version)
    if match is None or tuple(int(part) for part in match.groups()) >= OLDEST_FIRMWARE:
        return ""
    return f"has firmware {version}, before S-V1.6-3: its joints 2 and 3 are two degrees off; update it"


def _driver_troubles(name: str, code: int, bits: dict[int, str]) -> list[str]:
    return [f"reports of {name}: {text}" for bit, text in sorted(bits.items()) if code & (1 << bit)]
