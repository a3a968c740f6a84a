"""Stills: other scenes in every picture, as true as demonstrations, and learnt from beside them."""

from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_train.cli import EXIT_REFUSED, main
from svam_train.commands.stills import Stills, run
from svam_train.demonstrations import recording_recipe, stills
from svam_train.demonstrations.generation import generate_demonstrations
from svam_train.episodes.checks import check_episodes
from svam_train.episodes.episodes import RobotFacts
from svam_train.episodes.scene_seeds import EVALUATION_SEEDS_FROM, STILL_SEEDS_FROM
from svam_train.episodes.sources import open_episodes

TASKS = ("lift_pot", "pour")
ROBOT = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, coarse_recipe):
    """Two files of four stills each, of two tasks; made in this process."""
    made = tmp_path_factory.mktemp("stills")
    recording_recipe.keep_recipe(made, coarse_recipe)
    with pytest.MonkeyPatch.context() as patch, stills.Cameras.open(coarse_recipe) as cameras:
        patch.setattr(stills, "STILLS_A_FILE", 4)
        for task, seed in stills.missing_files(made, 8, TASKS):
            stills.save_demonstration(made, stills.stills(task, seed, coarse_recipe, cameras))
    return made


def test_what_is_there_is_not_made_again(folder, monkeypatch):
    assert len(list(folder.glob("*.npz"))) == 4
    monkeypatch.setattr(stills, "STILLS_A_FILE", 4)
    assert stills.missing_files(folder, 8, TASKS) == []
    assert stills.missing_files(folder, 9, ("pour",)) == [("pour", STILL_SEEDS_FROM + 8)]


def test_they_are_episodes_that_may_be_learnt_from(folder, coarse_recipe):
    data = open_episodes(folder, coarse_recipe.image, ROBOT)
    check_episodes(data, ROBOT, coarse_recipe.image)
    assert {episode.instruction for episode in data} == {
        "stand still before you lift the pot with both hands",
        "stand still before you pour the beads from the cup into the bowl",
    }
    assert all(len(episode) == 4 and episode.stride == coarse_recipe.stride for episode in data)


def test_every_picture_is_of_another_scene_with_the_arms_elsewhere(folder, coarse_recipe):
    for episode in open_episodes(folder, coarse_recipe.image, ROBOT):
        assert len({image.tobytes() for image in episode.images[np.arange(4)]}) == 4
        centres = np.nan_to_num(episode.centres).reshape(4, -1)
        assert np.abs(np.diff(centres, axis=0)).max(axis=1).min() > 0.005
        assert np.abs(np.diff(episode.joints, axis=0)).max(axis=1).min() > 0.01


@pytest.mark.slow
def test_a_seed_gives_the_same_stills_again(coarse_recipe):
    with stills.Cameras.open(coarse_recipe) as cameras:
        again = [stills.stills("lift_pot", STILL_SEEDS_FROM, coarse_recipe, cameras) for _ in range(2)]
    np.testing.assert_array_equal(again[0].images, again[1].images)
    np.testing.assert_array_equal(again[0].joints, again[1].joints)


def test_no_still_shares_a_scene_with_an_evaluation():
    last = stills.missing_files(Stills().folder, 200_000, ("pour",))[-1][1]
    assert last + stills.STILLS_A_FILE < EVALUATION_SEEDS_FROM


def test_wrong_numbers_are_refused_in_a_sentence(capsys, tmp_path):
    assert main(["stills", "--folder", str(tmp_path), "--count", "0"]) == EXIT_REFUSED
    assert "count 0 and workers 2 must be at least 1" in capsys.readouterr().err


def test_stills_and_demonstrations_do_not_share_a_folder(folder, tmp_path, coarse_recipe):
    with pytest.raises(ValueError, match=r"stills: name another .* for demonstrations"):
        list(generate_demonstrations(folder, {"pour": 1}, coarse_recipe, workers=1))
    (tmp_path / "relabelled_pour_500007.npz").touch()
    with pytest.raises(ValueError, match=r"demonstrations: name another .* for stills"):
        list(stills.make_stills(tmp_path, 25, ("pour",), coarse_recipe, workers=1))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_the_command_fills_a_folder_and_has_nothing_to_do_then(tmp_path, capsys):
    options = Stills(tmp_path / "stills", ("pour",), count=1, workers=1)
    run(options)
    (file,) = (tmp_path / "stills").glob("*.npz")
    made_at = file.stat().st_mtime_ns
    run(options)
    assert file.stat().st_mtime_ns == made_at
