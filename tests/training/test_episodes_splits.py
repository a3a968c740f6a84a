"""Splits by identity stay as they are when data is added; statistics say which data they are of."""

import dataclasses

import numpy as np
import pytest
from support.made_up_demonstrations import made_up_demonstration

from svam_ros.artifacts.statistics_file import statistics_id
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.demonstration_files import save_demonstration
from svam_train.episodes.episode_files import open_episode_file, write_episode_file
from svam_train.episodes.episodes import DataError, Episode, EpisodeSet, RobotFacts
from svam_train.episodes.splits import is_held_out, split
from svam_train.episodes.statistics import IdentifiedStatistics, fit_statistics

ROBOT = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))


def episodes(count: int) -> EpisodeSet:
    made_up = [made_up_demonstration(seed=seed, pictures=4, size=16) for seed in range(count)]
    return EpisodeSet(
        "made up",
        ROBOT,
        ImagePreparation("centre_square", 16, "area"),
        tuple(
            Episode(f"lift_pot_{d.seed:06d}", d.task, d.instruction, d.stride, d.images, d.joints, d.targets)
            for d in made_up
        ),
    )


def test_adding_episodes_moves_none_from_one_side_to_the_other():
    few, many = split(episodes(30), 0.25, seed=5), split(episodes(40), 0.25, seed=5)
    names = [[{e.identity for e in side} for side in sides] for sides in (few, many)]
    assert names[0][0] < names[1][0]
    assert names[0][1] <= names[1][1]
    assert not names[1][0] & names[1][1]
    assert len(names[1][0] | names[1][1]) == 40
    other = {e.identity for e in split(episodes(40), 0.25, seed=6)[1]}
    assert other != names[1][1]


def test_tasks_of_one_scene_are_held_out_together():
    alone = episodes(30)
    two_tasks = [
        dataclasses.replace(episode, identity=f"{task}_{number}", scene=f"simulation {number}")
        for number, episode in enumerate(alone)
        for task in ("lift_pot", "pour")
    ]
    sides = split(dataclasses.replace(alone, episodes=tuple(two_tasks)), 0.25, seed=5)
    training, held_out = ({episode.scene for episode in side} for side in sides)
    assert len(training) + len(held_out) == 30
    assert not training & held_out


def test_a_demonstration_says_its_scene_and_an_imported_episode_none(tmp_path):
    demonstration = made_up_demonstration(seed=12, pictures=4, size=16)
    assert open_episode_file(save_demonstration(tmp_path, demonstration)).scene == "simulation 12"
    write_episode_file(tmp_path / "imported.npz", episodes(1)[0])
    assert open_episode_file(tmp_path / "imported.npz").scene is None


def test_the_share_is_kept_on_average():
    held_out = [is_held_out(f"episode_{i:06d}", 0.1, seed=0) for i in range(5000)]
    assert 0.085 < np.mean(held_out) < 0.115


def test_a_split_with_an_empty_side_is_refused():
    with pytest.raises(DataError, match="0 are held out; both are needed"):
        split(episodes(2), 0.0, seed=0)


def test_statistics_of_absolute_targets_are_ranges_of_the_targets():
    data = episodes(6)
    fitted = fit_statistics(data)
    targets = np.concatenate([e.targets for e in data]).astype(np.float64)
    low, high = np.percentile(targets, [1, 99], axis=0)
    np.testing.assert_allclose(fitted.statistics.actions.normalise(low), -1, atol=1e-9)
    np.testing.assert_allclose(fitted.statistics.actions.normalise(high), 1, atol=1e-9)
    assert not any(fitted.statistics.relative_to_joints)


def test_the_identity_is_of_numbers_and_data_and_survives_the_file():
    fitted = fit_statistics(episodes(6))
    assert IdentifiedStatistics.from_json(fitted.to_json()) == fitted
    assert len(fitted.id) == 64
    elsewhere = dataclasses.replace(fitted, data="0" * 64)
    assert elsewhere.id != fitted.id
    assert statistics_id(elsewhere.statistics) == statistics_id(fitted.statistics)
    with pytest.raises(DataError, match="edited"):
        IdentifiedStatistics.from_json(fitted.to_json().replace(fitted.data, "0" * 64))
    with pytest.raises(DataError, match="no statistics of a run"):
        IdentifiedStatistics.from_json("{}")


def test_statistics_of_nothing_are_refused():
    with pytest.raises(DataError, match="no episodes to compute statistics from"):
        fit_statistics(dataclasses.replace(episodes(2), episodes=()))


def test_statistics_of_numbers_that_are_not_finite_are_refused():
    data = episodes(2)
    data[0].targets[3, 2] = np.nan
    with pytest.raises(DataError, match="finite"):
        fit_statistics(data)
