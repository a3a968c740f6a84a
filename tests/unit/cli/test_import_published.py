"""The options of ``svam import-published``; what it imports is tested with the artifacts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from svam_ros.cli.import_published import ImportOptions, chosen_config
from svam_ros.cli.main import main
from svam_ros.networks.presets import PRESETS

OPTIONS = ImportOptions(unet=Path("u"), action=Path("a"), out=Path("o"), preset="calvin")


def test_without_switches_the_published_evaluation_is_reproduced_on_calvin():
    assert chosen_config(OPTIONS) == PRESETS["calvin"]


def test_an_expert_of_the_published_trainer_gets_what_it_was_trained_on_whatever_the_robot():
    """Unlike the preset, which is for training from here on."""
    config = chosen_config(dataclasses.replace(OPTIONS, preset="cobot"))
    assert config.references == PRESETS["calvin"].references != PRESETS["cobot"].references
    assert config.backbone.frames_per_second_id == 4.0 != PRESETS["cobot"].backbone.frames_per_second_id
    assert config.action_expert == PRESETS["cobot"].action_expert


@pytest.mark.parametrize(
    ("changes", "read", "expected"),
    [
        ({"reference_normalization": "imagenet"}, lambda c: c.references.normalization, "imagenet"),
        ({"reference_resize": "bicubic_antialias"}, lambda c: c.references.resize, "bicubic_antialias"),
        ({"text_positions": "on"}, lambda c: c.text.add_positions, True),
        ({"sigma_min": 0.001}, lambda c: c.action_expert.sigma_min, 0.001),
        ({"frames_per_second_id": 7.0}, lambda c: c.backbone.frames_per_second_id, 7.0),
    ],
)
def test_a_switch_changes_its_setting(changes, read, expected):
    assert read(PRESETS["calvin"]) != expected
    assert read(chosen_config(dataclasses.replace(OPTIONS, **changes))) == expected


def test_a_missing_file_is_one_sentence(capsys, tmp_path):
    command = ["import-published", "--unet", "nowhere", "--action", "a.pt", "--preset", "calvin"]
    assert main([*command, "--out", str(tmp_path / "m")]) == 2
    assert (
        capsys.readouterr().err == "svam import-published: --unet nowhere: there is no such file or folder\n"
    )


def test_a_switch_outside_its_range_is_refused(capsys):
    command = ["import-published", "--unet", "u", "--action", "a", "--preset", "calvin", "--out", "o"]
    assert main([*command, "--sigma-min", "100"]) == 2
    assert "parameter 'sigma_min' is 100.0, allowed is 0.0001 to 10" in capsys.readouterr().err
