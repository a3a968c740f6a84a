"""Every code that forbids to follow has words, and a sound arm has none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svam_ros.drivers.piper_status import PiperStatus, firmware_trouble, troubles

SOUND = PiperStatus(1, 0, 0, (0x40,) * 6, 0xC0)
"""The gripper's highest bit says that it knows its zero."""


def with_driver(joint: int, code: int) -> PiperStatus:
    codes = list(SOUND.joint_drivers)
    codes[joint] = code
    return replace(SOUND, joint_drivers=tuple(codes))


def test_a_sound_arm_is_ready_and_one_that_was_just_switched_on_is_no_trouble():
    assert SOUND.is_ready
    assert troubles(SOUND) == []
    fresh = PiperStatus(0, 0, 0, (0,) * 6, 0)
    assert not fresh.is_ready
    assert troubles(fresh) == []
    assert fresh.without_power == (*(f"joint {n}" for n in range(1, 7)), "the gripper")


@pytest.mark.parametrize("missing", range(7))
def test_one_motor_without_power_is_not_ready_and_named(missing):
    codes = [*SOUND.joint_drivers, SOUND.gripper_driver]
    codes[missing] = 0
    status = replace(SOUND, joint_drivers=tuple(codes[:6]), gripper_driver=codes[6])
    assert not status.is_ready
    assert status.without_power == ("the gripper" if missing == 6 else f"joint {missing + 1}",)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (replace(SOUND, control_mode=2), "teach mode"),
        (replace(SOUND, control_mode=6), "leader mode"),
        (replace(SOUND, control_mode=99), "unknown control mode 99"),
        (replace(SOUND, arm_status=1), "emergency stop"),
        (replace(SOUND, arm_status=7), "hit something"),
        (replace(SOUND, arm_status=200), "unknown status 200"),
        (replace(SOUND, error_bits=1 << 2), "does not hear joint 3"),
        (replace(SOUND, error_bits=1 << 13), "joint 6 beyond its own limit"),
        (with_driver(0, 0x41), "of joint 1: supply voltage too low"),
        (with_driver(3, 0x50), "of joint 4: collision protection"),
        (with_driver(5, 0xC0), "of joint 6: stall protection"),
        (replace(SOUND, gripper_driver=0x70), "of the gripper: sensor error"),
        (replace(SOUND, arm_status=6), "brake that is not released"),
    ],
)
def test_what_forbids_to_follow_is_said_in_words(status, words):
    assert words in "; ".join(troubles(status))


def test_brakes_are_on_where_the_motors_are_off():
    assert troubles(PiperStatus(0, 6, 0, (0,) * 6, 0)) == []


@pytest.mark.parametrize(
    ("version", "is_too_old"),
    [("S-V1.6-3", False), ("S-V1.8-1", False), ("S-V1.5-9", True), ("S-V1.6-2", True), ("", False)],
)
def test_firmware_from_before_the_zeros_were_put_right_is_refused(version, is_too_old):
    assert bool(firmware_trouble(version)) is is_too_old
