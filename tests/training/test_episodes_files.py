"""Our own recordings: read lazily, told apart, and refused by name when something is wrong."""

import dataclasses
import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from support.made_up_demonstrations import made_up_demonstration

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.checks import check_episodes, verdicts
from svam_train.episodes.demonstration_files import demonstration_path, save_demonstration
from svam_train.episodes.episodes import CorruptShard, DataError, EpisodeSet, RobotFacts
from svam_train.episodes.open_settings import OpenSettings
from svam_train.episodes.sources import open_episodes, open_together
from svam_train.episodes.statistics import fit_statistics
from svam_train.episodes.stored_rows import StoredRows

ROBOT = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
PREPARATION = ImagePreparation("centre_square", 64, "area")


def record(folder, *seeds, **changes):
    folder.mkdir(exist_ok=True, parents=True)
    for seed in seeds:
        made_up = made_up_demonstration(seed=seed, pictures=6, size=64)
        # within the limits, which the goals of the made-up one are not
        home = load_cobot().home.astype(np.float32)
        made_up = dataclasses.replace(
            made_up, targets=home + 0.01 * made_up.targets, joints=home + 0.01 * made_up.joints
        )
        save_demonstration(folder, dataclasses.replace(made_up, **changes))
    return folder


def opened(folder, **settings) -> EpisodeSet:
    return open_episodes(folder, PREPARATION, ROBOT, OpenSettings(**settings))


def test_what_was_saved_is_read_row_by_row_without_an_open_file_or_a_copy_in_memory(tmp_path):
    data = opened(record(tmp_path, 1, 2, 3))
    check_episodes(data, ROBOT, PREPARATION)
    files = len(os.listdir("/proc/self/fd"))
    for seed, episode in zip((1, 2, 3), data, strict=True):
        original = made_up_demonstration(seed=seed, pictures=6, size=64)
        rows = np.array([[4, 0], [4, 5]])
        for name, tolerance in (("images", 0), ("depth", 1e-3), ("segments", 1 / 255)):
            stored = getattr(episode, name)
            assert isinstance(stored, StoredRows)
            assert stored.shape == getattr(original, name).shape
            assert stored[rows].dtype == getattr(original, name).dtype
            np.testing.assert_allclose(stored[rows], getattr(original, name)[rows], atol=tolerance)
    assert len(os.listdir("/proc/self/fd")) == files


def test_the_fingerprint_is_of_all_that_is_read_and_of_nothing_else(tmp_path):
    first = opened(record(tmp_path / "a", 1, 2)).fingerprint
    assert opened(record(tmp_path / "b", 2, 1)).fingerprint == first
    images = made_up_demonstration(seed=2, pictures=6, size=64).images.copy()
    images[3, 5, 5, 1] ^= 1
    record(tmp_path / "b", 2, images=images)
    assert opened(tmp_path / "b").fingerprint != first


def test_folders_are_opened_together_and_keep_their_episodes_apart(tmp_path):
    mine, other = record(tmp_path / "mine", 1, 2), record(tmp_path / "other", 2)
    both = open_together((mine, other), PREPARATION, ROBOT)
    assert both.name == "mine and other"
    assert [e.identity for e in both] == ["lift_pot_000001", "lift_pot_000002", "other/lift_pot_000002"]
    assert (
        both.fingerprint != opened(mine).fingerprint == open_together((mine,), PREPARATION, ROBOT).fingerprint
    )
    check_episodes(both, ROBOT, PREPARATION)
    with pytest.raises(DataError, match="two episodes are called 'other/lift_pot_000002'"):
        open_together((mine, other, record(tmp_path / "elsewhere" / "other", 2)), PREPARATION, ROBOT)
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        open_together((mine, tmp_path / "nowhere"), PREPARATION, ROBOT)


def test_a_corrupt_file_is_named_and_passed_over_only_when_asked(tmp_path):
    record(tmp_path, 1, 2)
    path = demonstration_path(tmp_path, "lift_pot", 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1  # a single bit of a picture
    path.write_bytes(content)
    with pytest.raises(CorruptShard, match=r"lift_pot_000002\.npz: 'images\.npy' in it is damaged"):
        opened(tmp_path)
    data = opened(tmp_path, skip_corrupt=True)
    assert [episode.identity for episode in data] == ["lift_pot_000001"]
    assert [out.name for out in data.left_out] == ["lift_pot_000002.npz"]
    path.write_bytes(b"")
    with pytest.raises(CorruptShard, match="no episode can be read"):
        opened(tmp_path)


def test_a_file_that_vanishes_while_it_is_used_is_named(tmp_path):
    data = opened(record(tmp_path, 1))
    demonstration_path(tmp_path, "lift_pot", 1).unlink()
    with pytest.raises(CorruptShard, match=r"lift_pot_000001\.npz: changed while it was in use"):
        data[0].images[np.array([0])]


def test_pictures_and_steps_that_do_not_belong_together_are_refused(tmp_path):
    record(tmp_path, 1, joints=np.zeros((3, 14), np.float32))
    with pytest.raises(CorruptShard, match=r"'joints' has 3 rows, 12 control steps .* mean 6"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"joints": np.full((6, 14), np.nan, np.float32)}, "'joints' has nan in row 0, joint left_joint1"),
        ({"targets": np.full((12, 14), np.inf, np.float32)}, "'targets' has inf in row 0"),
        ({"targets": np.full((12, 14), 57.3, np.float32)}, "goes from -2.6179 to 2.6179: other units"),
        ({"joints": np.zeros((6, 7), np.float32)}, r"'joints' are \(6, 7\), the robot has 14 joints"),
        ({"images": np.zeros((6, 32, 32, 3), np.uint8)}, r"pictures \(6, 32, 32, 3\), expected .* 64, 64, 3"),
        ({"instruction": " "}, "the instruction is empty"),
        ({"depth": np.full((6, 8, 8), np.nan, np.float32)}, "'depth' has numbers that are not finite"),
    ],
)
def test_what_must_not_be_learnt_is_refused_by_episode(changes, sentence, tmp_path):
    data = opened(record(record(tmp_path, 1), 2, **changes))
    with pytest.raises(DataError, match=f"episode 'lift_pot_000002': .*{sentence}"):
        check_episodes(data, ROBOT, PREPARATION)
    assert [v.problem is None for v in verdicts(data, ROBOT, PREPARATION)] == [True, False]


def test_statistics_that_do_not_know_the_data_are_refused(tmp_path):
    statistics = fit_statistics(opened(record(tmp_path / "known", 1, 2)))
    statistics.check(opened(record(tmp_path / "alike", 3)))
    other = opened(record(tmp_path / "other", 4, targets=np.full((12, 14), 2.0, np.float32)))
    with pytest.raises(DataError, match=r"'lift_pot_000004': 'targets' of \w+ go to .* times what"):
        statistics.check(other)


def test_another_robot_camera_or_preparation_is_refused(tmp_path):
    data = opened(record(tmp_path, 1))
    for changes, sentence in (
        ({"joint_names": ("a", "b")}, "has 14 joints, the robot has 2"),
        ({"joint_names": ROBOT.joint_names[::-1]}, "its joints are in another order"),
        ({"camera_width": 320}, "640x480 pixels, the robot's camera gives 320x480"),
        ({"camera_rate_hz": 60.0}, "has 30 pictures a second"),
        ({"control_period_s": 0.02}, "control steps last 0.04 s"),
    ):
        with pytest.raises(DataError, match=sentence):
            check_episodes(data, dataclasses.replace(ROBOT, **changes), PREPARATION)
    with pytest.raises(DataError, match=r"were prepared as .*size=64.*wants .*size=128"):
        check_episodes(data, ROBOT, dataclasses.replace(PREPARATION, size=128))
    with pytest.raises(DataError, match="no episodes"):
        check_episodes(dataclasses.replace(data, episodes=()), ROBOT, PREPARATION)


def test_demonstrations_of_the_simulation_pass_all_checks(recorded, coarse_recipe):
    data = open_episodes(recorded[0], coarse_recipe.image, ROBOT)
    check_episodes(data, ROBOT, coarse_recipe.image)
    with np.load(demonstration_path(recorded[0], data[0].task, 0)) as original:
        assert data[0].identity == f"{original['task']}_000000"
        assert data[0].instruction == original["instruction"]
        np.testing.assert_array_equal(data[0].images[np.arange(len(data[0]))], original["images"])
        shares = original["segments"][[2]] / np.float32(255)
        np.testing.assert_array_equal(data[0].segments[np.array([2])], shares)


def test_the_recipe_beside_demonstrations_is_believed(tmp_path):
    record(tmp_path, 1)
    recipe = {"image": asdict(PREPARATION), "profile": "cobot_magic"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    opened(tmp_path)
    recipe["image"]["crop"] = "squash"
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(DataError, match=r"prepared as .*squash.*the network wants .*centre_square"):
        opened(tmp_path)


def test_a_folder_with_nothing_or_with_several_kinds_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds none of demonstrations"):
        opened(tmp_path)
    record(tmp_path, 1)
    (tmp_path / "episode_0000.mcap").write_bytes(b"")
    with pytest.raises(DataError, match="several kinds, npz and MCAP"):
        opened(tmp_path)
