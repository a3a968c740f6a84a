"""Examples line up in time, end in stillness, and are drawn reproducibly."""

import dataclasses

import numpy as np
import pytest
from support.made_up_demonstrations import made_up_demonstration

from svam_ros.simulation.front_camera import SceneClass
from svam_train.episodes.chunk_dataset import ChunkDataset, ChunkShape, draw_rows
from svam_train.episodes.demonstration_files import (
    DemonstrationError,
    demonstration_path,
    load_demonstration,
    save_demonstration,
)
from svam_train.episodes.episodes import DataError
from svam_train.episodes.scene_truth import MOVABLE

SHAPE = ChunkShape(pred_horizon=16, frame_offsets=(0, 8), grid=8)


@pytest.fixture
def two_episodes():
    return [made_up_demonstration("lift_pot", 3), made_up_demonstration("place_to_pot", 4)]


def test_action_i_of_a_chunk_is_the_target_i_plus_one_steps_after_the_picture(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    chunk = dataset.chunk_targets(np.array([2]))[0]
    # picture 2 was taken at control step 4, and targets[4] is due at the end of that step
    np.testing.assert_array_equal(chunk, two_episodes[0].targets[4:20])


def test_a_chunk_never_runs_into_the_next_episode(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    last_picture = len(two_episodes[0]) - 1
    chunk = dataset.chunk_targets(np.array([last_picture]))[0]
    np.testing.assert_array_equal(chunk[2:], np.tile(two_episodes[0].targets[-1], (14, 1)))
    batch = dataset.batch(np.array([last_picture]), dataset.fit_statistics())
    np.testing.assert_array_equal(batch.future_images[0, 0], batch.future_images[0, 1])


def test_second_frame_lies_eight_control_steps_ahead(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    batch = dataset.batch(np.array([0]), dataset.fit_statistics())
    expected = two_episodes[0].images[4].astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(batch.future_images[0, 1].numpy(), expected, atol=1e-6)
    assert batch.images.is_contiguous()


def test_normalised_actions_invert_to_the_targets(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    statistics = dataset.fit_statistics()
    rows = np.array([1, 14])
    batch = dataset.batch(rows, statistics)
    back = statistics.denormalise_actions(batch.actions.numpy(), dataset.joints[rows])
    np.testing.assert_allclose(back, dataset.chunk_targets(rows), atol=1e-6)


def test_depth_and_classes_are_averaged_to_the_networks_grid(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    batch = dataset.batch(np.array([5]), dataset.fit_statistics())
    assert batch.future_segments.shape == (1, 2, 64, len(SceneClass))
    np.testing.assert_allclose(batch.future_segments.sum(-1).numpy(), 1.0, atol=2e-3)
    pooled = two_episodes[0].depth[5].reshape(8, 2, 8, 2).mean((1, 3))
    np.testing.assert_allclose(batch.future_depth[0, 0].numpy(), pooled.ravel(), atol=1e-3)


def test_places_are_the_centres_of_what_is_visible(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    batch = dataset.batch(np.array([5]), dataset.fit_statistics())
    pot = [member.name for member in MOVABLE].index("POT")
    assert batch.future_visible[0, 0].tolist() == [float(i == pot) for i in range(len(MOVABLE))]
    row, column = np.argwhere(two_episodes[0].segments[5, :, :, 4] > 0)[0]
    expected = [(row + 0.5) / 8 - 1, (column + 0.5) / 8 - 1]
    np.testing.assert_allclose(batch.future_places[0, 0, pot].numpy(), expected, atol=1e-5)


def test_a_rest_is_where_the_arms_stand_still_next_whatever_the_grippers_do(two_episodes):
    targets = np.zeros((24, 14), np.float32)
    targets[:, 0] = np.interp(np.arange(24), [0, 8, 14, 20], [0.0, 0.8, 0.8, 1.4])
    targets[8:14, 6] = np.linspace(0.06, 0.0, 6)
    episode = dataclasses.replace(two_episodes[0], targets=targets)
    dataset = ChunkDataset([episode], SHAPE)
    statistics = dataset.fit_statistics()
    rests = statistics.actions.denormalise(dataset.batch(np.arange(12), statistics).rests.numpy())[:, 0]
    # pictures at steps 0, 2, ..: the rest at 0.8 counts until four steps before its end at step 13
    np.testing.assert_allclose(rests, [0.8] * 5 + [1.4] * 7, atol=1e-5)


def test_rows_depend_on_seed_and_step_alone_and_share_the_batch_fairly(two_episodes):
    dataset = ChunkDataset(two_episodes, SHAPE)
    rows = draw_rows(dataset, 10, seed=1, step=7)
    np.testing.assert_array_equal(rows, draw_rows(dataset, 10, seed=1, step=7))
    assert not np.array_equal(rows, draw_rows(dataset, 10, seed=1, step=8))
    assert sum(row < len(two_episodes[0]) for row in rows) == 5


def test_a_grid_or_stride_that_does_not_fit_is_refused(two_episodes):
    with pytest.raises(DataError, match="16 patches"):
        ChunkDataset(two_episodes, dataclasses.replace(SHAPE, grid=7))
    with pytest.raises(DemonstrationError, match="one stride that divides"):
        ChunkDataset(two_episodes, dataclasses.replace(SHAPE, frame_offsets=(0, 3)))
    with pytest.raises(DemonstrationError, match="svam-train demonstrations"):
        ChunkDataset([], SHAPE)


def test_a_demonstration_survives_its_file(tmp_path):
    original = made_up_demonstration(seed=9)
    loaded = load_demonstration(save_demonstration(tmp_path, original))
    assert (loaded.task, loaded.seed, loaded.instruction, loaded.stride) == (
        "lift_pot",
        9,
        original.instruction,
        2,
    )
    np.testing.assert_array_equal(loaded.images, original.images)
    np.testing.assert_array_equal(loaded.targets, original.targets)
    np.testing.assert_allclose(loaded.depth, original.depth, atol=1e-3)
    np.testing.assert_allclose(loaded.segments, original.segments, atol=1 / 255)


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = save_demonstration(tmp_path, made_up_demonstration(seed=9))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DemonstrationError, match=r"lift_pot_000009\.npz"):
        load_demonstration(path)
    short = dataclasses.replace(made_up_demonstration(seed=10), joints=np.zeros((3, 14), np.float32))
    save_demonstration(tmp_path, short)
    with pytest.raises(DemonstrationError, match="'joints' has 3 rows"):
        load_demonstration(demonstration_path(tmp_path, "lift_pot", 10))


def test_demonstrations_with_other_classes_are_refused():
    made = made_up_demonstration(seed=7)
    old = dataclasses.replace(made, segments=made.segments[..., :6])
    with pytest.raises(DataError, match="lift_pot seed 7: was recorded with 6 classes"):
        ChunkDataset([made, old], ChunkShape(16, (0, 8), 8))
