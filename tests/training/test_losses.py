"""The losses against what they must be in cases that can be worked out by hand."""

import dataclasses

import torch
from support.networks import CONFIG

from svam_ros.networks.svam import Foresight, Svam
from svam_train.losses import TrainingHeads, action_loss, draw_noise_levels
from svam_train.recipe import NoiseLevels
from svam_train.starting_weights import position_sines, start_positions


def test_noise_levels_stay_in_range_and_have_the_median():
    levels = NoiseLevels(median=2.0, spread=0.8, lowest=0.01, highest=1000.0)
    drawn = draw_noise_levels(levels, torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    assert drawn.min() >= 0.01
    assert drawn.max() <= 1000.0
    assert abs(drawn.median() - 2.0) < 0.1
    narrow = draw_noise_levels(NoiseLevels(2.0, 0.8, 1.0, 3.0), torch.tensor([0.0, 0.999999]))
    torch.testing.assert_close(narrow, torch.tensor([1.0, 3.0]), rtol=1e-3, atol=0)


def test_several_noise_draws_are_as_many_single_ones():
    torch.manual_seed(0)
    expert = Svam(CONFIG).action_expert.eval()
    horizon, dimensions = CONFIG.action_noise_shape
    context = torch.randn(2, 16, CONFIG.uni_perceiver.width)
    goal, joints = torch.randn(2, 1, CONFIG.action_expert.width), torch.randn(2, dimensions)
    actions, noise = torch.randn(2, horizon, dimensions), torch.randn(3, 2, horizon, dimensions)
    sigma = torch.tensor([[0.5, 1.0], [2.0, 4.0], [8.0, 16.0]])
    together = action_loss(expert, context, goal, joints, actions, noise, sigma)
    alone = [
        action_loss(expert, context, goal, joints, actions, noise[i : i + 1], sigma[i : i + 1])[0]
        for i in range(3)
    ]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_the_semantic_loss_is_zero_for_the_true_shares_and_above_otherwise():
    heads = TrainingHeads(CONFIG, classes=3, movable=2)
    shares = torch.tensor([0.7, 0.2, 0.1]).expand(1, 2, 4, 3)
    torch.nn.init.zeros_(heads.segments.weight)
    with torch.no_grad():
        heads.segments.bias.copy_(shares[0, 0, 0].log())
    nothing = torch.zeros(1, 2, 4, CONFIG.references.semantic.width)
    foresight = Foresight(nothing, nothing)
    assert abs(heads.semantic_loss(foresight, shares).item()) < 1e-6
    assert heads.semantic_loss(foresight, shares.flip(-1)).item() > 0.1


def test_places_that_are_not_visible_do_not_count():
    heads = TrainingHeads(CONFIG, classes=3, movable=2)
    context = torch.randn(1, 2 * CONFIG.uni_perceiver.latents_per_frame, CONFIG.uni_perceiver.width)
    places = torch.zeros(1, 2, 2, 2)
    visible = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    expected = heads.place_loss(context, places, visible)
    places[:, :, 1] = 100.0
    torch.testing.assert_close(heads.place_loss(context, places, visible), expected)
    places[:, :, 0] = 100.0
    assert heads.place_loss(context, places, visible) > 10 * expected
    assert heads.place_loss(context, places, torch.zeros_like(visible)) == 0


def test_position_tables_tell_every_patch_from_every_other():
    table = position_sines(8, 64)
    distances = torch.cdist(table, table) + 10 * torch.eye(64)
    assert table.shape == (64, 64)
    assert distances.min() > 0.3
    network = Svam(dataclasses.replace(CONFIG))
    start_positions(network, 0.5)
    grid, width = CONFIG.references.grid, CONFIG.references.geometric.width
    torch.testing.assert_close(
        network.geometric_reference.positions[0, 1:].detach(), 0.5 * position_sines(grid, width)
    )
