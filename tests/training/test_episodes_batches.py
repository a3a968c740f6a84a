"""A row is a picture of an episode; clips and chunks that start there are functions of it alone."""

import dataclasses

import numpy as np
import pytest
from support.made_up_demonstrations import made_up_demonstration

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.translation.preprocessing import ImagePreparation, image_to_network
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.demonstration_files import save_demonstration
from svam_train.episodes.episodes import DataError, Episode, EpisodeSet, RobotFacts
from svam_train.episodes.sources import open_episodes
from svam_train.episodes.statistics import fit_statistics

ROBOT = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
PREPARATION = ImagePreparation("centre_square", 128, "area")


@pytest.fixture(scope="module")
def demonstrations():
    return [made_up_demonstration("lift_pot", 3), made_up_demonstration("place_to_pot", 4, pictures=9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demonstrations):
    folder = tmp_path_factory.mktemp("demonstrations")
    for demonstration in demonstrations:
        save_demonstration(folder, demonstration)
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    return EpisodeRows(open_episodes(folder, PREPARATION, ROBOT))


def test_rows_are_the_pictures_of_all_episodes_in_the_order_of_their_names(rows):
    assert len(rows) == 12 + 9
    assert [(e.identity, picture) for e, picture in (rows.where(0), rows.where(11), rows.where(12))] == [
        ("lift_pot_000003", 0),
        ("lift_pot_000003", 11),
        ("place_to_pot_000004", 0),
    ]
    assert rows.instructions == ("lift the pot with both hands", "put the red cube into the pot")
    assert rows.rows_of(0).tolist() == list(range(12))
    assert rows.rows_of(1).tolist() == list(range(12, 21))


def test_a_clip_shows_the_pictures_of_its_moments_and_ends_in_the_last_one(rows, demonstrations):
    batch = rows.clips(np.array([14, 1, 19]), (0, 4, 8))
    assert batch["clips"].shape == (3, 3, 3, 128, 128)
    assert batch["clips"].is_contiguous()
    lift, place = (image_to_network(d.images) for d in demonstrations)
    np.testing.assert_array_equal(batch["clips"][0], place[[2, 4, 6]])
    np.testing.assert_array_equal(batch["clips"][1], lift[[1, 3, 5]])
    np.testing.assert_array_equal(batch["clips"][2], place[[7, 8, 8]])
    assert [rows.instructions[code] for code in batch["instructions"]] == [
        demonstrations[i].instruction for i in (1, 0, 1)
    ]


def test_a_chunk_starts_one_period_after_its_picture_and_ends_in_the_last_target(
    rows, demonstrations, folder
):
    statistics = fit_statistics(open_episodes(folder, PREPARATION, ROBOT)).statistics
    where = np.array([14, 20])
    batch = rows.chunks(where, statistics, 8)
    place = demonstrations[1]
    np.testing.assert_array_equal(batch["images"], image_to_network(place.images[[2, 8]]))
    back = statistics.denormalise_actions(batch["actions"].double().numpy(), place.joints[[2, 8]])
    held = np.concatenate([place.targets[16:], np.repeat(place.targets[-1:], 6, axis=0)])
    np.testing.assert_allclose(back, [place.targets[4:12], held], atol=1e-6)
    np.testing.assert_allclose(
        statistics.joints.denormalise(batch["joints"].double().numpy()), place.joints[[2, 8]], atol=1e-6
    )


def test_a_row_does_not_depend_on_the_batch_that_it_is_in(rows, folder):
    statistics = fit_statistics(open_episodes(folder, PREPARATION, ROBOT)).statistics
    together = rows.chunks(np.array([3, 17, 8]), statistics, 8) | rows.clips(np.array([3, 17, 8]), (0, 2))
    alone = rows.chunks(np.array([17]), statistics, 8) | rows.clips(np.array([17]), (0, 2))
    for name, values in together.items():
        np.testing.assert_array_equal(values[1:2], alone[name])


def test_truths_of_simulation_belong_to_the_frames_of_the_clip(rows, demonstrations):
    truth = rows.scene_truth(np.array([15, 0]), (0, 2), grid=8)
    place = demonstrations[1]
    pooled = place.depth[[3, 4]].reshape(2, 8, 2, 8, 2).mean((2, 4))
    np.testing.assert_allclose(truth["depth"][0], pooled, atol=1e-3)
    np.testing.assert_allclose(truth["segments"].sum(-1), 1.0, atol=5e-3)
    pooled = place.segments[[3, 4]].reshape(2, 8, 2, 8, 2, -1).mean((2, 4))
    np.testing.assert_allclose(truth["segments"][0], pooled, atol=5e-3)


def test_frames_between_pictures_other_strides_and_missing_truths_are_refused(rows, demonstrations):
    with pytest.raises(DataError, match="use multiples of that"):
        rows.clips(np.array([0]), (0, 3))
    lift, place = (episode(d) for d in demonstrations)
    with pytest.raises(DataError, match="use one stride"):
        EpisodeRows(EpisodeSet("two", ROBOT, PREPARATION, (lift, dataclasses.replace(place, stride=3))))
    blind = EpisodeRows(EpisodeSet("real", ROBOT, PREPARATION, (dataclasses.replace(lift, depth=None),)))
    with pytest.raises(DataError, match="'lift_pot_3' has no depth: only simulation knows"):
        blind.scene_truth(np.array([0]), (0,), grid=8)
    with pytest.raises(DataError, match="16 patches a side do not fit a grid of 7"):
        rows.scene_truth(np.array([0]), (0,), grid=7)


def test_two_episodes_of_one_name_are_refused(demonstrations):
    lift = episode(demonstrations[0])
    with pytest.raises(DataError, match="two episodes are called 'lift_pot_3'"):
        EpisodeSet("twice", ROBOT, PREPARATION, (lift, lift))


def episode(d) -> Episode:
    """The same in memory."""
    return Episode(
        identity=f"{d.task}_{d.seed}",
        task=d.task,
        instruction=d.instruction,
        stride=d.stride,
        images=d.images,
        joints=d.joints,
        targets=d.targets,
        depth=d.depth,
        segments=d.segments,
    )


def test_recordings_with_other_classes_are_refused_by_who_needs_classes_only(tmp_path):
    made = made_up_demonstration("lift_pot", 3)
    save_demonstration(tmp_path, dataclasses.replace(made, segments=made.segments[..., :6]))
    rows = EpisodeRows(open_episodes(tmp_path, PREPARATION, ROBOT))
    assert len(rows.clips(np.array([0]), (0,))["clips"]) == 1
    with pytest.raises(DataError, match="'lift_pot_000003': was recorded with 6 classes of things"):
        rows.scene_truth(np.array([0]), (0,), grid=8)


def test_places_are_read_where_the_recording_has_them(tmp_path):
    made = made_up_demonstration("lift_pot", 3)
    points = np.random.default_rng(0).uniform(-1.0, 2.0, (*made.depth.shape, 3)).astype(np.float32)
    save_demonstration(tmp_path, dataclasses.replace(made, points=points))
    save_demonstration(tmp_path, dataclasses.replace(made_up_demonstration("lift_pot", 4), centres=None))
    episodes = open_episodes(tmp_path, PREPARATION, ROBOT)
    np.testing.assert_array_equal(episodes[0].centres, made.centres)
    assert episodes[1].centres is None
    np.testing.assert_allclose(episodes[0].points[np.array([4, 2])], points[[4, 2]], atol=2e-3)
    assert episodes[1].points is None


def test_the_rows_of_several_sets_stand_one_after_the_other(tmp_path):
    for name, seed in (("one", 1), ("other", 2)):
        (tmp_path / name).mkdir()
        save_demonstration(tmp_path / name, made_up_demonstration(seed=seed, pictures=6, size=64))
    one, other = (
        EpisodeRows(open_episodes(tmp_path / name, PREPARATION, ROBOT)) for name in ("one", "other")
    )
    both = EpisodeRows(*one.sets, *other.sets)
    assert len(both) == len(one) + len(other)
    assert [episode.identity for episode in both.episodes] == ["lift_pot_000001", "lift_pot_000002"]
    assert both.where(len(one))[0].identity == "lift_pot_000002"
