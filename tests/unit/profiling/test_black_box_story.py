"""The story of a black box and its picture."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest
from support.black_boxes import stopped_in_motion

from svam_ros.cli.main import main
from svam_ros.cobot import load_cobot
from svam_ros.profiling.black_box_plot import black_box_plot
from svam_ros.profiling.black_box_story import black_box_story
from svam_ros.recording.black_box_file import BlackBoxRecord, write_black_box

NAMES = load_cobot().joint_names


@pytest.fixture(scope="module")
def excerpt():
    (taken,) = stopped_in_motion().taken
    return taken


def test_the_story_tells_what_happened_in_what_order_and_how_the_arms_came_to_rest(excerpt):
    lines = black_box_story(excerpt, NAMES).splitlines()
    assert lines[0] == "cause   stopped: an operator asked to stop"
    told = [line.split(maxsplit=1) for line in lines[2 : lines.index("", 2)]]
    assert [text for _, text in told if "chunk run" not in text] == [
        "holding: waiting for a chunk",
        "following",
        "stop asked for",
        "stopped: an operator asked to stop",
    ]
    times = [float(at) for at, _ in told]
    assert times == sorted(times)
    assert times[-1] == 0.0
    motion = lines[lines.index("", 2) + 1 :]
    assert motion[0].startswith("motion  left_joint1 was the fastest at the cause, ")
    rest_s = float(motion[1].split()[2])
    assert 0.05 < rest_s < 0.5
    assert "was farthest from its command, 0.0" in motion[2]


def test_many_chunks_in_a_row_share_a_line(excerpt):
    story = black_box_story(excerpt, NAMES)
    assert "times until" in story
    assert story.count("chunk run/") < 5


def test_arms_that_stood_still_did(excerpt):
    still = dataclasses.replace(excerpt, velocities=np.zeros_like(excerpt.velocities))
    assert "the arms stood still at the cause" in black_box_story(still, NAMES)


def test_the_picture_has_a_panel_for_each_joint_with_both_curves(excerpt):
    root = ElementTree.fromstring(black_box_plot(excerpt, NAMES, "a < b & c"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b & c" in texts
    assert set(NAMES) <= set(texts)
    kinds = [element.get("class") for element in root.iter("{http://www.w3.org/2000/svg}path")]
    assert kinds.count("commanded") == kinds.count("measured") == kinds.count("cause") == len(NAMES)


def test_the_command_tells_and_draws(excerpt, tmp_path, capsys):
    path = tmp_path / "box.mcap"
    write_black_box(path, BlackBoxRecord(excerpt, NAMES, "cobot_magic", "2027-01-31T12:00:00+01:00"))
    assert main(["blackbox", str(path)]) == 0
    out = capsys.readouterr().out
    assert "stopped: an operator asked to stop" in out
    assert path.with_suffix(".svg").read_text().startswith("<svg")
    assert main(["blackbox", str(tmp_path / "none.mcap")]) == 1
    assert "none.mcap" in capsys.readouterr().err
