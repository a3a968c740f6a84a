"""Recordings of the robot become what the policy saw and what the arms were told, to the control step."""

import shutil

import numpy as np
import pytest
from support.robot_recordings import COBOT, COMMANDS_FROM_S, PROFILE, START_NS, Recording, commanded_at

from svam_ros.recording.replay import ReplaySettings, recorded_observations
from svam_ros.translation.preprocessing import ImagePreparation, prepare_observation
from svam_ros.whole_files import PART_SUFFIX
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.checks import check_episodes
from svam_train.episodes.episodes import CorruptShard, DataError, RobotFacts
from svam_train.episodes.open_settings import OpenSettings
from svam_train.episodes.sources import open_episodes
from svam_train.episodes.statistics import fit_statistics

ROBOT = RobotFacts.of(COBOT, PROFILE)
SMALL = ImagePreparation("centre_square", 32, "area")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    Recording().write(folder / "monday" / "episode_0000.mcap")
    return folder


def test_pictures_and_joints_are_those_of_the_nodes_observations_and_nothing_else(recorded):
    episode = open_episodes(recorded, SMALL, ROBOT)[0]
    path = recorded / "monday" / "episode_0000.mcap"
    seen = list(recorded_observations(path, ReplaySettings.recorded(path)))
    live = {o.stamp_ns: prepare_observation(o, SMALL) for o in seen}
    start_ns = min(ns for ns in live if ns >= START_NS + (COMMANDS_FROM_S - 0.04) * 1e9)
    data = open_episodes(recorded, SMALL, ROBOT)
    batch = EpisodeRows(data).chunks(np.arange(len(episode)), fit_statistics(data).statistics, 8)
    assert len(episode) > 15
    for row in range(len(episode)):
        stamp_ns = start_ns + (row * 2 + episode.lateness[row]) * 40e6
        given = live[min(live, key=lambda ns: abs(ns - stamp_ns))]
        np.testing.assert_array_equal(batch["images"][row].numpy(), given.image)
        np.testing.assert_array_equal(episode.joints[row], given.joints)
    assert np.abs(episode.lateness).max() * 0.04 < 0.018  # half of a camera period, and rounding


def test_black_boxes_that_lie_beside_episodes_are_none(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "demo")
    (tmp_path / "demo" / "logs").mkdir()
    (tmp_path / "demo" / "logs" / "black_box_20260101_120000_7_0001.mcap").write_bytes(b"of the guard")
    data = open_episodes(tmp_path / "demo", SMALL, ROBOT)
    assert data.fingerprint == open_episodes(recorded, SMALL, ROBOT).fingerprint


def test_actions_are_the_set_points_of_their_moments(recorded):
    episode = open_episodes(recorded, SMALL, ROBOT)[0]
    first_picture = np.arange(0.013, 2.0, 1 / 30)
    start_s = first_picture[first_picture >= COMMANDS_FROM_S - 0.04][0]
    due_s = start_s + (np.arange(len(episode.targets)) + 1) * 0.04
    np.testing.assert_allclose(episode.targets, [commanded_at(s) for s in due_s], atol=2e-4)
    assert 1.99 - 2 * 0.04 < due_s[-1] <= 1.99
    rows = np.array([0, 5, 9])
    picture_s = start_s + (rows * 2 + episode.lateness[rows]) * 0.04
    expected = [[commanded_at(s + 0.04 * (i + 1)) for i in range(8)] for s in picture_s]
    np.testing.assert_allclose(episode.chunks(rows, 8), expected, atol=2e-3)


def test_its_name_is_its_place_and_its_sentence_that_of_the_recording(recorded):
    data = open_episodes(recorded, SMALL, ROBOT)
    check_episodes(data, ROBOT, SMALL)
    assert [(e.identity, e.task, e.instruction) for e in data] == [
        ("monday/episode_0000", "lift_pot", "lift the pot with both hands")
    ]


def test_what_failed_or_was_not_finished_is_left_out_and_said(tmp_path):
    Recording().write(tmp_path / "a.mcap")
    Recording(outcome={"success": "false"}).write(tmp_path / "b.mcap")
    (tmp_path / f"c.mcap{PART_SUFFIX}").write_bytes(b"x")
    data = open_episodes(tmp_path, SMALL, ROBOT)
    assert [e.identity for e in data] == ["a"]
    assert [(out.name, out.reason) for out in data.left_out] == [
        (f"c.mcap{PART_SUFFIX}", "not finished: what a killed recording left"),
        ("b", "the task was not done in it"),
    ]
    both = open_episodes(tmp_path, SMALL, ROBOT, OpenSettings(keep_unsuccessful=True))
    assert [e.identity for e in both] == ["a", "b"]


def test_a_damaged_recording_is_named_and_passed_over_only_when_asked(tmp_path):
    Recording().write(tmp_path / "a.mcap")
    damaged = Recording().write(tmp_path / "b.mcap")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    damaged.write_bytes(content)
    with pytest.raises(CorruptShard, match=r"b\.mcap"):
        open_episodes(tmp_path, SMALL, ROBOT)
    data = open_episodes(tmp_path, SMALL, ROBOT, OpenSettings(skip_corrupt=True))
    assert [e.identity for e in data] == ["a"]
    assert [out.name for out in data.left_out] == ["b"]


@pytest.mark.parametrize(
    ("recording", "sentence"),
    [
        (Recording(camera_pause_s=(0.8, 1.4)), r"0\.\d+ s away.*did the camera pause"),
        (
            Recording(command_pause_s=(0.8, 1.4)),
            r"no set-points for 0\.6. s.*or record it as two",
        ),
        (Recording(command_pause_s=(0.0, 9.0)), "it holds no set-points"),
        (Recording(bad_set_point_at_s=1.0), "a set-point cannot be read: left arm: .*not finite"),
        (Recording(picture_size=(320, 240)), "no picture after .* told to move: .*320.*240"),
        (Recording(camera_pause_s=(0.0, 9.0)), "no picture after .*: there is no picture on /"),
        (Recording(metadata={"policy_node profile": "nothing"}), "unknown robot profile 'nothing'"),
    ],
)
def test_a_recording_with_holes_is_refused_by_name(recording, sentence, tmp_path):
    recording.write(tmp_path / "bad.mcap")
    with pytest.raises(DataError, match=rf"(?s)bad.*{sentence}"):
        open_episodes(tmp_path, SMALL, ROBOT)


def test_a_recording_of_another_camera_is_refused(recorded, tmp_path):
    other = RobotFacts(**{**vars(ROBOT), "camera_width": 1280, "camera_height": 720})
    with pytest.raises(DataError, match="pictures of 640x480 pixels, the robot's camera gives 1280x720"):
        open_episodes(recorded, SMALL, other, OpenSettings(cache=tmp_path))


def test_a_slow_camera_shows_a_picture_twice_and_each_chunk_still_starts_at_it(tmp_path):
    Recording(camera_pause_s=(0.8, 1.0)).write(tmp_path / "slow.mcap")
    episode = open_episodes(tmp_path, SMALL, ROBOT)[0]
    moments = np.arange(len(episode)) * 2 + episode.lateness
    twice = np.flatnonzero(np.abs(np.diff(moments)) < 1e-9)
    assert len(twice) == 2  # the last one before the pause, and the first one after it
    for row in twice:
        np.testing.assert_array_equal(*episode.images[np.array([row, row + 1])])
        np.testing.assert_allclose(*episode.chunks(np.array([row, row + 1]), 4), atol=1e-9)
