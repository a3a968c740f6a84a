"""LeRobot data sets of version 3.0 are read as they are, and refused where they are of another robot."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.lerobot_files import COBOT, KEY, brightness, joints_at, write_lerobot

from svam_ros.cobot import load_robot_profile
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.checks import check_episodes
from svam_train.episodes.episodes import CorruptShard, DataError, RobotFacts
from svam_train.episodes.open_settings import OpenSettings
from svam_train.episodes.sources import open_episodes

ROBOT = RobotFacts.of(COBOT, load_robot_profile("cobot_magic"))
SMALL = ImagePreparation("centre_square", 32, "area")


@pytest.mark.parametrize("videos", [True, False], ids=["in videos", "one by one"])
def test_every_picture_joint_and_target_comes_from_its_own_moment(videos, tmp_path):
    data = open_episodes(write_lerobot(tmp_path / "data", videos=videos), SMALL, ROBOT)
    check_episodes(data, ROBOT, SMALL)
    assert [e.identity for e in data] == ["episode_000000", "episode_000001"]
    assert [e.instruction for e in data] == ["sentence 0", "sentence 1"]
    for number, episode in enumerate(data):
        moments_s = (np.arange(len(episode)) * 2 + episode.lateness) * 0.04
        frames = np.rint(moments_s * 30).astype(int)
        np.testing.assert_allclose(moments_s, frames / 30, atol=1e-9)
        assert np.abs(episode.lateness).max() * 0.04 <= 0.5 / 30 + 1e-9
        pictures = episode.images[np.arange(len(episode))]
        assert pictures.shape == (len(episode), 32, 32, 3)
        expected = [brightness(number, frame) for frame in frames]
        np.testing.assert_allclose(pictures.mean((1, 2, 3)), expected, atol=1.0)
        np.testing.assert_allclose(episode.joints, [joints_at(number, s) for s in moments_s], atol=1e-6)
        due_s = (np.arange(len(episode.targets)) + 1) * 0.04
        np.testing.assert_allclose(episode.targets, [joints_at(number, s) for s in due_s], atol=1e-6)


def test_a_chunk_is_due_one_two_three_periods_after_its_picture_however_late_that_was(tmp_path):
    episode = open_episodes(write_lerobot(tmp_path / "data"), SMALL, ROBOT)[1]
    rows = np.array([1, 3, 4])
    chunks = episode.chunks(rows, 5)
    picture_s = (rows * 2 + episode.lateness[rows]) * 0.04
    due_s = picture_s[:, None] + (np.arange(5) + 1) * 0.04
    expected = [[joints_at(1, s) for s in row] for row in due_s]
    np.testing.assert_allclose(chunks, expected, atol=1e-6)


def test_at_the_control_rate_nothing_is_late_and_targets_are_the_actions(tmp_path):
    root = write_lerobot(tmp_path / "data", fps=25)
    episode = open_episodes(root, SMALL, ROBOT, OpenSettings(stride=1))[0]
    assert episode.lateness is None
    table = pq.read_table(root / "data/chunk-000/file-000.parquet").to_pylist()
    actions = [row["action"] for row in table if row["episode_index"] == 0]
    np.testing.assert_allclose(episode.targets, actions, atol=1e-7)


def test_joints_in_another_order_are_put_in_ours(tmp_path):
    turned = [f"{name}.pos" for name in COBOT.joint_names[7:] + COBOT.joint_names[:7]]
    root = write_lerobot(tmp_path / "data", names=COBOT.joint_names[7:] + COBOT.joint_names[:7])
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["action"]["names"] = {"motors": turned}
    path.write_text(json.dumps(info))
    episode = open_episodes(root, SMALL, ROBOT)[0]
    np.testing.assert_allclose(episode.joints[0], joints_at(0, 0.0), atol=1e-6)
    np.testing.assert_allclose(episode.targets[4], joints_at(0, 0.2), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"names": [f"motor_{i}" for i in range(7)]}, "has 7 joints, the robot has 14"),
        ({"size": (320, 240)}, "pictures of 320x240 pixels, the robot's camera gives 640x480"),
        ({"fps": 10}, "has 10 pictures a second, the robot's camera gives 30"),
    ],
)
def test_another_robot_or_camera_is_refused(changes, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        open_episodes(write_lerobot(tmp_path / "data", **changes), SMALL, ROBOT)


def test_an_older_version_is_refused_with_what_to_do(tmp_path):
    root = write_lerobot(tmp_path / "data")
    path = root / "meta/info.json"
    path.write_text(path.read_text().replace("v3.0", "v2.1"))
    with pytest.raises(DataError, match=r"version v2\.1, read is v3\.0: convert it"):
        open_episodes(root, SMALL, ROBOT)


@pytest.mark.parametrize("shard", ["data/chunk-000/file-001.parquet", f"videos/{KEY}/chunk-000/file-001.mp4"])
def test_a_corrupt_shard_is_named_and_passed_over_only_when_asked(shard, tmp_path):
    root = write_lerobot(tmp_path / "data", lengths=(10, 10, 10))
    path = root / shard
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptShard, match=f"{path.name}.*skip-corrupt"):
        open_episodes(root, SMALL, ROBOT)
    data = open_episodes(root, SMALL, ROBOT, OpenSettings(skip_corrupt=True))
    assert [e.identity for e in data] == ["episode_000000", "episode_000001"]
    assert [out.name for out in data.left_out] == ["episode_000002"]
    assert path.name in data.left_out[0].reason


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (None, "is not in it: was the recording finalised"),
        ({"bytes": None, "path": "frame.png"}, "is not in it: was the recording finalised"),
        ({"bytes": b"\x89PNG of no kind", "path": "frame.png"}, "cannot be decoded"),
    ],
)
def test_a_picture_that_is_missing_or_damaged_is_named(file, sentence, tmp_path):
    root = write_lerobot(tmp_path / "data", videos=False)
    path = root / "data/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[24 + 7][KEY] = file
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(CorruptShard, match=rf"file-000\.parquet: picture 7 of 'episode_000001' {sentence}"):
        open_episodes(root, SMALL, ROBOT)
    data = open_episodes(root, SMALL, ROBOT, OpenSettings(skip_corrupt=True))
    assert [episode.identity for episode in data] == ["episode_000000"]


def test_a_missing_frame_is_a_corrupt_video(tmp_path):
    root = write_lerobot(tmp_path / "data")
    other = write_lerobot(tmp_path / "short", lengths=(24, 20))
    video = f"videos/{KEY}/chunk-000/file-000.mp4"
    (root / video).write_bytes((other / video).read_bytes())
    with pytest.raises(CorruptShard, match=r"frame 20 of 'episode_000001'.*not in the video"):
        open_episodes(root, SMALL, ROBOT)


def test_degrees_are_refused_by_joint_and_episode(tmp_path):
    root = write_lerobot(tmp_path / "data")
    path = root / "data/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["observation.state"] = [57.3 * value for value in row["observation.state"]]
    table = pq.read_table(path)
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    data = open_episodes(root, SMALL, ROBOT)
    with pytest.raises(DataError, match=r"episode 'episode_000000': 'joints' .* other units than rad"):
        check_episodes(data, ROBOT, SMALL)


def test_a_second_opening_decodes_nothing_and_gives_the_same(tmp_path, monkeypatch):
    root = write_lerobot(tmp_path / "data")
    cache = tmp_path / "cache"
    first = open_episodes(root, SMALL, ROBOT, OpenSettings(cache=cache))
    monkeypatch.setattr("av.open", None)
    again = open_episodes(root, SMALL, ROBOT, OpenSettings(cache=cache))
    assert again.fingerprint == first.fingerprint
    damaged = next(cache.rglob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    monkeypatch.undo()
    assert open_episodes(root, SMALL, ROBOT, OpenSettings(cache=cache)).fingerprint == first.fingerprint
    assert not (root / ".svam_imported").exists()
