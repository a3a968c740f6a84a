"""The tiny teachers learn what simulation knows; what they hand on fits into the network."""

import dataclasses

import numpy as np
import pytest
import torch
from support.killed_training import checkpointing, killed_before
from support.made_up_demonstrations import INSTRUCTIONS, made_up_demonstration
from support.networks import CONFIG, random_network

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError, Episode, EpisodeSet, RobotFacts
from svam_train.recipes.teachers import PRESETS, TeachersRecipe
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.stages.position_sines import position_sines
from svam_train.stages.teacher_read_outs import QUANTITIES, by_place, by_token
from svam_train.stages.teachers import TeachersObjective
from svam_train.training.loop import train
from svam_train.training.run_folder import RunError, RunFolder, load_weights

RECIPE = TeachersRecipe(
    truth_grid=8,
    held_out_rows=8,
    training=TrainingSettings(
        steps=60, batch_size=8, learning_rate=3e-3, average_decay=0.9, evaluate_every=60, pictures_every=60
    ),
)


def episode(task="lift_pot", seed=0) -> Episode:
    """Depth follows the picture: what is bright is near."""
    d = made_up_demonstration(task, seed, size=32)
    depth = np.where(d.segments[..., 4] > 0, 0.5, 1.5).astype(np.float32)
    return Episode(
        identity=f"{task}_{seed}",
        task=task,
        instruction=d.instruction,
        stride=d.stride,
        images=d.images,
        joints=d.joints,
        targets=d.targets,
        depth=depth,
        segments=d.segments,
        centres=d.centres,
    )


def rows(*seeds, change=lambda e: e):
    robot = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
    episodes = tuple(change(episode(task, seed)) for task in INSTRUCTIONS for seed in seeds)
    return EpisodeRows(EpisodeSet("made up", robot, ImagePreparation("centre_square", 32, "area"), episodes))


def objective(recipe=RECIPE, **options):
    return TeachersObjective(recipe, CONFIG, rows(1, 2, **options), rows(0, **options))


@torch.no_grad()
def looked_at(made):
    return made.held_out(made.module.eval())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    trained = objective()
    before = looked_at(trained)
    train(trained, RECIPE.training, RunFolder(folder, RECIPE), resume=False)
    return folder, before, looked_at(trained)


def test_patches_go_to_their_token_and_back():
    values = torch.arange(2 * 6 * 6 * 3.0).reshape(2, 6, 6, 3)
    grouped = by_token(values, 3)
    assert grouped.shape == (2, 9, 4, 3)
    assert torch.equal(grouped[1, 5, 2], values[1, 3, 4])  # token (1, 2), patch (1, 0) of it
    assert torch.equal(by_place(grouped, 3), values)
    assert torch.equal(by_place(by_token(values[..., 0], 2), 2), values[..., 0])


def test_encoders_start_from_positions_that_tell_every_patch_from_every_other():
    table = position_sines(8, 64)
    assert table.shape == (64, 64)
    assert (torch.cdist(table, table) + 10 * torch.eye(64)).min() > 0.3
    module = objective(dataclasses.replace(RECIPE, position_scale=0.5)).module
    grid, geometric = CONFIG.references.grid, module.geometric_reference.positions[0, 1:].detach()
    torch.testing.assert_close(geometric, 0.5 * position_sines(grid, CONFIG.references.geometric.width))
    semantic = module.semantic_reference.dino.embeddings.position_embeddings[0, 1:].detach()
    torch.testing.assert_close(semantic, 0.5 * position_sines(grid, CONFIG.references.semantic.width))


def test_training_learns_classes_and_depth(finished):
    _, before, after = finished
    assert after["segments"] < 0.5 * before["segments"]
    assert after["depth"] < 0.6 * before["depth"]
    assert after["depth_error_m"] < 0.6 * before["depth_error_m"]
    assert after["right_class"] > 0.9 > before["right_class"]
    # Of scenes that were never seen, two scenes a task tell little about where things are.
    assert after["centre_error_half_pictures"] < before["centre_error_half_pictures"]
    assert after["joint_error"] < before["joint_error"]
    assert "points" not in after


def test_what_is_handed_on_fits_into_the_network(finished):
    weights = load_weights(finished[0])
    network = random_network()
    encoders = {n: v for n, v in weights.items() if not n.startswith("teacher_heads.")}
    wanted = {
        n for n in network.state_dict() if n.startswith(("semantic_reference.", "geometric_reference."))
    }
    assert set(encoders) == wanted
    assert not network.load_state_dict(encoders, strict=False).unexpected_keys
    assert "teacher_heads.regressions.depth.linear.weight" in weights
    assert weights["teacher_heads.regressions.depth.mean"].item() == pytest.approx(1.5, abs=0.05)


def known_points(e):
    return dataclasses.replace(e, points=np.repeat(np.asarray(e.depth)[..., None], 3, axis=-1))


def test_a_floor_of_zero_is_reached_by_the_truth_only():
    made = objective(change=known_points)
    batch, module = made.batch(0, 4), made.module
    shares = by_token(batch["segments"], module.grid)
    truth = {"segments": shares.clamp(min=1e-9).log()}
    for quantity in QUANTITIES:
        values = batch[quantity.name]
        truth[quantity.name] = by_token(values, module.grid) if quantity.of_patches else values.unsqueeze(1)
    module.read_out = lambda _: truth
    losses = module(batch)
    assert losses.keys() == {"total", *truth}
    assert float(losses["total"]) == pytest.approx(0.0, abs=1e-5)
    for name, values in truth.items():
        module.read_out = lambda _, name=name, values=values: truth | {name: 0.5 * values}
        losses = module(batch)
        assert float(losses["total"]) == pytest.approx(float(losses[name]))
        assert float(losses["total"]) > 1e-4


def test_what_is_not_visible_does_not_count():
    made = objective()
    batch, module = made.batch(0, 4), made.module
    assert 0.0 < float(batch["visible"].mean()) < 1.0
    before = float(module(batch)["centres"].detach())
    batch["centres"] = batch["centres"] + 100.0 * (1.0 - batch["visible"]).unsqueeze(-1)
    assert float(module(batch)["centres"].detach()) == pytest.approx(before)
    batch["centres"] = batch["centres"] + 100.0
    assert float(module(batch)["centres"].detach()) > 10.0 * before


def test_batches_are_a_function_of_the_step_and_fair_to_the_instructions():
    one, other = objective(), objective()
    first, again = one.batch(3, 6), other.batch(3, 6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["images"], one.batch(4, 6)["images"])
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True)
    )


def test_places_are_learnt_where_the_data_has_them():
    with_points = objective(change=known_points)
    losses = with_points.module(with_points.batch(0, 4))
    assert float(losses["points"].detach()) > 0.0
    assert looked_at(with_points).keys() >= {"point_error_m", "centre_error_m"}
    older = objective(change=lambda e: dataclasses.replace(e, centres=None))
    assert older.module(older.batch(0, 4)).keys() == {"total", "segments", "depth", "joints"}


def test_recordings_of_two_versions_are_not_mixed():
    def older(e):
        return dataclasses.replace(e, centres=None) if e.identity == "lift_pot_2" else e

    with pytest.raises(DataError, match=r"1 of \d+ episodes were recorded without centres.*'lift_pot_2'"):
        objective(change=older)


def test_pictures_show_truth_and_prediction(finished):
    assert (finished[0] / "pictures/step_000060/teachers.png").is_file()
    made = objective()
    with torch.no_grad():
        picture = made.pictures(made.module.eval())["teachers"]
    assert picture.dtype == np.uint8
    assert picture.shape[0] == 5 * 128


def test_data_without_truth_or_with_other_patches_is_refused():
    with pytest.raises(DataError, match="only simulation knows"):
        objective(change=lambda e: dataclasses.replace(e, depth=None))
    with pytest.raises(DataError, match="truth_grid 6 is no multiple of the 4 patches"):
        objective(dataclasses.replace(RECIPE, truth_grid=6))


def test_the_preset_is_of_a_network_without_public_teachers():
    assert set(PRESETS) == {"tiny"}
    assert PRESETS["tiny"].truth_grid % 8 == 0


def test_a_run_that_died_between_two_steps_is_resumed_to_the_bit(tmp_path):
    recipe = dataclasses.replace(RECIPE, training=dataclasses.replace(RECIPE.training, steps=3))
    often = checkpointing(recipe)
    train(objective(recipe), recipe.training, RunFolder(tmp_path / "whole", recipe), resume=False)
    with killed_before(2):
        train(objective(often), often.training, RunFolder(tmp_path / "died", often), resume=False)
    train(objective(often), often.training, RunFolder(tmp_path / "died", often), resume=True)
    whole, resumed = load_weights(tmp_path / "whole"), load_weights(tmp_path / "died")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_further_run_begins_with_all_that_the_first_one_learnt(tmp_path):
    short = dataclasses.replace(RECIPE, training=dataclasses.replace(RECIPE.training, steps=2))
    folder = RunFolder(tmp_path / "first", short)
    first = objective(short)
    train(first, short.training, folder, resume=False)
    handed_on = load_weights(folder.path)
    further = TeachersObjective(short, CONFIG, rows(3), rows(0), handed_on)
    for name, tensor in further.network_tensors(further.module).items():
        assert torch.equal(tensor, handed_on[name]), name


def test_what_others_handed_on_is_refused(tmp_path):
    start = objective().network_tensors(objective().module)
    start.pop("teacher_heads.segments.weight")
    with pytest.raises(RunError, match=r"none of these teachers: segments\.weight.*same network"):
        TeachersObjective(RECIPE, CONFIG, rows(1), rows(0), start)
