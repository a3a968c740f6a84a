"""`svam profile` times real passes and writes what it measured, on which machine, with which versions."""

import json

import pytest

from svam_ros.cli.main import main
from svam_ros.cli.profile import ProfileOptions, synthetic_observation, time_stages
from svam_ros.engines import create_engine


def test_the_file_holds_stages_versions_and_machine(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert main(["profile", "--engine", "scripted", "--repeats", "7", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["stages_ms"]["total"]["n"] == 7
    assert figures["engine"] == "scripted"
    assert figures["machine"]["cores"] >= 1
    assert figures["versions"]["numpy"]
    assert "total" in capsys.readouterr().out


def test_the_defaults_time_the_model_that_ships(capsys):
    assert main(["profile", "--repeats", "1"]) == 0
    assert "tiny" in capsys.readouterr().out


def test_the_total_is_the_whole_call():
    engine = create_engine("scripted", "fault=slow slow_ms=30")
    stages = time_stages(engine, synthetic_observation(ProfileOptions()), repeats=3)
    assert stages["total"].p50 is not None
    assert 30 <= stages["total"].p50 < 300


def test_the_frame_has_the_camera_s_size_and_is_always_the_same():
    first, second = synthetic_observation(ProfileOptions()), synthetic_observation(ProfileOptions())
    assert first.frame.rgb.shape == (480, 640, 3)
    assert (first.frame.rgb == second.frame.rgb).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no_such_model"], "'no_such_model' is neither a folder nor a model"),
        (["--engine", "scripted", "--json", "no/such/folder/figures.json"], "there is no folder"),
        (["--engine", "scripted", "--repeats", "0"], "'repeats' is 0, allowed is 1 to 100000"),
        (["--engine", "scripted", "--profile", "cobot_magik"], "did you mean 'cobot_magic'"),
    ],
)
def test_what_cannot_be_is_one_sentence(capsys, arguments, words):
    assert main(["profile", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
