from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from svam_ros import cobot as cobot_module
from svam_ros.cobot import CalibrationError, load_cobot, load_robot_profile, profile_names
from svam_ros.shipped_files import shipped_directory


def test_the_cobot_has_fourteen_joints_left_arm_first():
    cobot = load_cobot()
    assert len(cobot.joint_names) == 14
    assert cobot.gripper_indices == (6, 13)
    assert cobot.joint_names[cobot.arm_slice("right")][0] == "right_joint1"
    assert np.all(cobot.limits.lower <= cobot.home)


def test_the_four_dialects_are_there_and_arms_differ():
    assert set(profile_names()) == {"cobot_magic", "aloha_agilex", "piper_dual", "agx_arm"}
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


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("command_rate_hz", 500.0, "25"),
        ("speed_percent", 0, "speed_percent is 0"),
        ("speed_percent", 101, "100"),
    ],
)
def test_profile_values_out_of_range_are_refused(tmp_path, monkeypatch, key, value, words):
    raw = yaml.safe_load((shipped_directory("calibration") / "profiles" / "cobot_magic.yaml").read_text())
    raw[key] = value
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.setattr(cobot_module, "shipped_directory", lambda _name: tmp_path)
    with pytest.raises(CalibrationError, match=words):
        load_robot_profile("mine")
