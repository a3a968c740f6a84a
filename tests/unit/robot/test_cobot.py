from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from svam_ros.cobot import CalibrationError, load_cobot, load_robot_profile, profile_names
from svam_ros.shipped_files import shipped_directory


def test_the_cobot_has_fourteen_joints_left_arm_first():
    cobot = load_cobot()
    assert len(cobot.joint_names) == 14
    assert cobot.gripper_indices == (6, 13)
    assert cobot.joint_names[cobot.arm_slice("right")][0] == "right_joint1"
    assert np.all(cobot.limits.lower <= cobot.home)


def test_the_four_dialects_are_there_and_arms_differ():
    dialects = {"cobot_magic", "aloha_agilex", "piper_dual", "agx_arm"}
    assert set(profile_names()) == dialects | {"ros2_control", "piper_can"}
    for name in profile_names():
        profile = load_robot_profile(name)
        topics = {profile.arms[a].state_topic for a in ("left", "right")}
        topics |= {profile.arms[a].command_topic for a in ("left", "right")}
        assert len(topics) == 4


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(CalibrationError, match="did you mean 'cobot_magic'"):
        load_robot_profile("cobot_magick")


def write(tmp_path: Path, change) -> Path:
    raw = yaml.safe_load((shipped_directory("calibration") / "cobot.yaml").read_text())
    change(raw)
    path = tmp_path / "cobot.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.update(extra=1), "extra"),
        (lambda raw: raw.pop("home"), "home"),
        (lambda raw: raw["limits"].pop("jerk"), "jerk"),
        (lambda raw: raw["limits"].update(velocity=[0.0] * 7), "velocity must be above 0"),
        (lambda raw: raw["limits"].update(velocity=[2.0] * 6), "7 finite numbers"),
        (lambda raw: raw["limits"].update(upper=[float("nan")] * 7), "7 finite numbers"),
        (lambda raw: raw["limits"].update(lower=[9.0] * 7), "below"),
        (lambda raw: raw.update(home=[9.0] * 7), "home"),
        (lambda raw: raw.update(control_period_s=0.0), "control_period_s"),
        (lambda raw: raw.update(control_period_s="soon"), "soon"),
        (lambda raw: raw.update(arms=raw["arms"][::-1]), "in this order"),
    ],
)
def test_contradicting_calibration_is_refused_with_file_and_key(tmp_path, change, words):
    path = write(tmp_path, change)
    with pytest.raises(CalibrationError, match=words) as caught:
        load_cobot(path)
    assert str(path) in str(caught.value)


def write_profile(tmp_path: Path, change=lambda raw: None, shipped: str = "cobot_magic") -> Path:
    raw = yaml.safe_load((shipped_directory("calibration") / "profiles" / f"{shipped}.yaml").read_text())
    change(raw)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_a_profile_may_be_a_file_of_one_s_own(tmp_path, monkeypatch):
    path = write_profile(tmp_path, lambda raw: raw.update(command_rate_hz=50))
    profile = load_robot_profile(str(path))
    assert profile == dataclasses.replace(
        load_robot_profile("cobot_magic"), name="mine", command_rate_hz=50.0
    )
    monkeypatch.chdir(tmp_path)
    assert load_robot_profile("mine.yaml") == load_robot_profile("./mine.yaml") == profile
    with pytest.raises(CalibrationError, match=r"no_such\.yaml: cannot be read"):
        load_robot_profile("no_such.yaml")
    with pytest.raises(CalibrationError, match="given as a path"):
        load_robot_profile("mine")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.update(command_rate_hz=500.0), "command_rate_hz is 500.0, allowed is 25.0 to 200.0"),
        (lambda raw: raw.update(speed_percent=0), "speed_percent is 0, allowed is 1 to 100"),
        (lambda raw: raw.update(speed_percent=101), "speed_percent is 101"),
        (lambda raw: raw.update(name="other"), "'name' is not allowed"),
        (lambda raw: raw.update(camra={}), "unknown key 'camra', allowed is description, camera"),
        (lambda raw: raw["camera"].update(fps=30), "unknown key 'camera.fps', allowed is image_topic"),
        (
            lambda raw: raw["arms"]["left"].update(joints=[]),
            "unknown key 'arms.left.joints', allowed is state",
        ),
        (lambda raw: raw["camera"].update(rate_hz="fast"), 'camera.rate_hz" - should be "float"'),
        (lambda raw: raw["camera"].pop("width"), "camera.width"),
        (lambda raw: raw["arms"].pop("left"), "arms must be exactly"),
        (lambda raw: raw["arms"]["right"].update(state_joint_names=["joint1"] * 7), "arms.right.state_joint"),
        (lambda raw: raw["arms"]["left"].update(command_joint_names=[]), "arms.left.command_joint_names"),
        (
            lambda raw: raw["arms"]["right"].update(command_topic="/master/joint_left"),
            "arms.right.command_topic is '/master/joint_left', which is arms.left.command_topic already",
        ),
        (lambda raw: raw["enable"].update(kind="button"), "enable.kind"),
        (lambda raw: raw["enable"]["names"].pop("left"), "enable.names must name left and right"),
        (lambda raw: raw["enable"].update(kind="none"), "enable.names must name nothing for kind 'none'"),
    ],
)
def test_a_wrong_profile_is_refused_with_file_key_and_what_is_allowed(tmp_path, change, words):
    path = write_profile(tmp_path, change)
    with pytest.raises(CalibrationError, match=re.escape(words)) as caught:
        load_robot_profile(str(path))
    assert str(path) in str(caught.value)


def test_the_arms_on_can_have_an_interface_each():
    buses = load_robot_profile("piper_can").piper_can
    assert buses.interfaces == {"left": "can_left", "right": "can_right"}
    assert buses.bus_type == "socketcan"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.pop("piper_can"), "piper_can.interfaces must name a CAN interface of its own"),
        (lambda raw: raw["piper_can"]["interfaces"].pop("left"), "of its own for left and right"),
        (
            lambda raw: raw["piper_can"]["interfaces"].update(left="can_right"),
            "of its own for left and right",
        ),
        (lambda raw: raw["piper_can"].update(bus_type="slcan"), "piper_can.bus_type"),
        (lambda raw: raw["piper_can"].update(bitrate=500000), "unknown key 'piper_can.bitrate'"),
        (lambda raw: raw.update(output="joint_state"), "piper_can is for output piper_can, got output joint"),
        (lambda raw: raw.update(output="piper"), "output"),
        (
            lambda raw: raw.update(speed_percent=None),
            "speed_percent is null, output piper_can needs 1 to 100",
        ),
        (
            lambda raw: raw.update(gripper_effort=0.0),
            "gripper_effort is 0.0 N m, output piper_can allows 0.5",
        ),
        (lambda raw: raw["gripper"].update(metres_per_unit=2.0), "gripper.metres_per_unit is 1.0"),
        (lambda raw: raw["enable"].update(kind="topic", names={"left": "/a", "right": "/b"}), "is none"),
        (lambda raw: raw.update(state_rate_hz=200.0), "state_rate_hz is 200, allowed with output piper_can"),
    ],
)
def test_a_wrong_profile_of_arms_on_can_is_refused(tmp_path, change, words):
    path = write_profile(tmp_path, change, "piper_can")
    with pytest.raises(CalibrationError, match=re.escape(words)) as caught:
        load_robot_profile(str(path))
    assert str(path) in str(caught.value)


def test_enabling_reaches_each_dialect_s_drivers_where_they_listen():
    names = {name: load_robot_profile(name).enable for name in profile_names()}
    assert names["piper_dual"] == names["cobot_magic"]
    assert names["piper_dual"].kind == "topic", "both drivers offer /enable_srv under one name"
    assert names["agx_arm"].names == {arm: f"/{arm}_arm/enable_agx_arm" for arm in ("left", "right")}
