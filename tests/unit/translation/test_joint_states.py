from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.messages import joint_state

from svam_ros.cobot import GripperProfile, load_robot_profile, profile_names
from svam_ros.translation.commands import arm_command
from svam_ros.translation.joint_states import read_command, read_joint_state
from svam_ros.translation.rejection import RejectedMessage

PROFILE = load_robot_profile("cobot_magic")
NAMES = PROFILE.arms["left"].state_joint_names
VALUES = np.arange(7) / 10
ARRIVED_NS = 5_000_000_000


def test_joints_are_reordered_by_name():
    order = [3, 1, 0, 2, 6, 5, 4]
    message = joint_state([NAMES[i] for i in order], VALUES[order], VALUES[order])
    reading = read_joint_state(message, PROFILE, "left", ARRIVED_NS)
    assert np.array_equal(reading.positions, VALUES)
    assert np.array_equal(reading.velocities, VALUES)


def test_six_velocities_for_seven_joints_as_the_piper_driver_sends_them():
    reading = read_joint_state(joint_state(NAMES, VALUES, VALUES[:6]), PROFILE, "right", ARRIVED_NS)
    assert np.array_equal(reading.velocities, [*VALUES[:6], 0.0])


def test_a_finger_width_gripper_is_converted_both_ways():
    profile = dataclasses.replace(PROFILE, gripper=GripperProfile(metres_per_unit=2.0))
    reading = read_joint_state(joint_state(NAMES, VALUES), profile, "left", ARRIVED_NS)
    assert reading.positions[-1] == pytest.approx(1.2)
    command = arm_command(profile, "left", reading.positions, reading.velocities)
    assert command.position == pytest.approx(tuple(VALUES))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (joint_state(NAMES[:6], VALUES[:6]), "joint6"),
        (joint_state(["joint7", *NAMES[1:]], VALUES), "joint0"),
        (joint_state(NAMES, VALUES[:5]), "7 names but 5"),
        (joint_state(NAMES, [*VALUES[:6], np.nan]), "not finite"),
        (joint_state(NAMES, VALUES, [np.inf] * 7), "not finite"),
        (joint_state(NAMES, VALUES, ns=0), "no stamp"),
    ],
)
def test_bad_states_are_rejected(message, words):
    with pytest.raises(RejectedMessage, match=words):
        read_joint_state(message, PROFILE, "left", ARRIVED_NS)


def test_the_arrival_counts_as_the_stamp_only_where_the_profile_says_that_there_is_none():
    """The Piper driver sends zeros under stamp 0 until its arm has been heard of: those are no pose."""
    unstamped = dataclasses.replace(PROFILE, states_stamped=False)
    assert read_joint_state(joint_state(NAMES, VALUES), PROFILE, "left", ARRIVED_NS).stamp_ns == 1_000_000_000
    assert read_joint_state(joint_state(NAMES, VALUES, ns=0), unstamped, "left", 7).stamp_ns == 7


def test_states_and_commands_have_names_of_their_own():
    profile = load_robot_profile("aloha_agilex")
    arm = profile.arms["left"]
    assert arm.state_joint_names[-1] == "gripper"
    command = arm_command(profile, "left", VALUES, VALUES)
    assert command.joint_names[-1] == "joint7"
    state = joint_state(arm.state_joint_names, VALUES)
    assert np.array_equal(read_joint_state(state, profile, "left", ARRIVED_NS).positions, VALUES)
    assert np.array_equal(
        read_command(joint_state(command.joint_names, VALUES), profile, "left").positions, VALUES
    )
    with pytest.raises(RejectedMessage, match="joint7"):
        read_command(state, profile, "left")


@pytest.mark.parametrize(
    "name", [n for n in profile_names() if load_robot_profile(n).output == "joint_state"]
)
def test_commands_name_every_joint_and_fill_every_array(name):
    profile = load_robot_profile(name)
    command = arm_command(profile, "right", VALUES, VALUES)
    assert command.joint_names == profile.arms["right"].command_joint_names
    assert len(command.position) == len(command.velocity) == len(command.effort) == 7
    if profile.speed_percent is None:
        assert command.velocity == pytest.approx(tuple(VALUES))
    else:
        assert command.velocity == (0.0,) * 6 + (profile.speed_percent,)


def test_a_command_is_never_built_from_a_non_finite_number():
    with pytest.raises(ValueError, match="non-finite"):
        arm_command(PROFILE, "left", np.full(7, np.nan), VALUES)
