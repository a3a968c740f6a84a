"""The action loss, committed prefixes, read-outs' truth, kept features and picture changes, one by one."""

import numpy as np
import pytest
import torch
from support import networks
from support.action_runs import demonstration

from svam_ros.engines import create_engine
from svam_ros.networks.action_expert import GivenActions
from svam_train.recipes.actions import ActionNoise, Augmentation, CommittedPrefix, ReadOutWeights
from svam_train.stages.action_loss import (
    chunk_errors,
    draw_noise_levels,
    draw_prefix_lengths,
    mean_roughness,
    mean_square,
)
from svam_train.stages.action_read_outs import ReadOuts, next_rests
from svam_train.stages.frozen_features import engine_latent_noise
from svam_train.stages.picture_changes import change_pictures


@pytest.fixture(scope="module")
def expert():
    """With keys and values of two conditions, and a chunk for each."""
    network = networks.random_network()
    inputs = networks.random_inputs(network)
    latents = network.encode_image(inputs.image)
    features = network.backbone(latents, inputs.condition, inputs.latent_noise)
    context = network.perceive(features, network.decouple(features, network.references(inputs.image)))
    encoded = network.action_expert.encode(context, inputs.condition.goal_token, inputs.joints)
    keys_values = network.action_expert.keys_values(encoded)
    return network, inputs, keys_values


def draws(rows=2, draws=3):
    generator = torch.Generator().manual_seed(3)
    actions = torch.randn(rows, 6, 14, generator=generator)
    noise = torch.randn(rows, draws, 6, 14, generator=generator)
    return actions, noise, torch.rand(rows, draws, generator=generator) * 3 + 0.1


def test_several_draws_are_as_many_single_ones(expert):
    network, _, keys_values = expert
    actions, noise, sigma = draws()
    together = chunk_errors(network.action_expert, keys_values, actions, noise, sigma, None)
    for draw in range(3):
        alone = network.action_expert.denoising_error(actions, noise[:, draw], sigma[:, draw], keys_values)
        torch.testing.assert_close(together[:, draw], alone, rtol=1e-4, atol=1e-5)


def test_without_a_given_action_the_prefix_way_is_the_published_loss(expert):
    network, _, keys_values = expert
    actions, noise, sigma = draws()
    none = torch.zeros(2, 3, dtype=torch.int64)
    published = chunk_errors(network.action_expert, keys_values, actions, noise, sigma, None)
    with_prefixes = chunk_errors(network.action_expert, keys_values, actions, noise, sigma, none)
    torch.testing.assert_close(with_prefixes, published, rtol=1e-4, atol=1e-5)


def test_given_actions_have_no_error_no_noise_and_are_seen_by_those_behind(expert):
    network, _, keys_values = expert
    actions, noise, sigma = draws()
    lengths = torch.tensor([[0, 2, 4], [1, 3, 5]])

    def errors(actions, noise):
        return chunk_errors(network.action_expert, keys_values, actions, noise, sigma, lengths)

    first = errors(actions, noise)
    given = torch.arange(6) < lengths[..., None]
    assert torch.all(first[given] == 0)
    assert torch.all(first[~given].square().mean(dim=-1) > 0)
    other_noise = noise + given[..., None] * 5.0
    torch.testing.assert_close(errors(actions, other_noise), first)
    changed = actions.clone()
    changed[1, 0] += 1.0
    assert (errors(changed, noise)[1, 1, 3:] - first[1, 1, 3:]).abs().max() > 1e-4


def test_sampling_without_a_prefix_is_the_networks_own_and_with_one_begins_with_it(expert):
    network, inputs, keys_values = expert
    trained, noise = network.action_expert, inputs.action_noise
    committed = torch.randn(2, 6, 14, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        plain = network(*inputs.as_tuple())
        none_given = GivenActions.first(committed, 0)
        same = trained.sample(keys_values, noise, trained.schedule(), none_given)
        torch.testing.assert_close(same, plain, rtol=1e-4, atol=1e-5)
        two_given = GivenActions.first(committed, 2)
        behind = trained.sample(keys_values, noise, trained.schedule(), two_given)
    torch.testing.assert_close(behind[:, :2], committed[:, :2])
    assert (behind[:, 2:] - plain[:, 2:]).abs().max() > 1e-4


def test_every_draw_counts_the_same_and_joints_as_they_are_weighted():
    errors = torch.zeros(1, 2, 4, 3)
    errors[0, 0] = 2.0**0.5
    errors[0, 1, 3] = -(6.0**0.5)  # three of the four were given
    lengths = torch.tensor([[0, 3]])
    assert mean_square(errors, (), lengths) == pytest.approx((2.0 + 6.0) / 2)
    assert mean_square(errors, (3.0, 0.0, 0.0), lengths) == pytest.approx((2.0 + 6.0) / 2)
    errors[..., 1:] = 0.0
    assert mean_square(errors, (3.0, 0.0, 0.0), lengths) == pytest.approx((2.0 + 6.0) / 2)
    assert mean_square(errors, (0.0, 1.0, 1.0), lengths) == 0.0


def test_errors_are_rough_where_they_bend_behind_the_prefix_and_as_joints_are_weighted():
    steady = torch.linspace(-1.0, 3.0, 6)[None, None, :, None].expand(1, 2, 6, 2)
    assert mean_roughness(steady, (), None) == pytest.approx(0.0, abs=1e-10)
    bent = steady.clone()
    bent[0, :, 3, 0] += 0.5  # bends by 0.5, -1 and 0.5 in three of the four windows
    assert mean_roughness(bent, (), None) == pytest.approx(1.5 / 8)
    assert mean_roughness(bent, (0.0, 1.0), None) == pytest.approx(0.0, abs=1e-10)
    bent[0, 1, :3] = 0.0  # given, so without an error: that they break off there is no fault of the network's
    behind = mean_roughness(bent, (), torch.tensor([[0, 3]]))
    assert behind == pytest.approx((1.5 / 8 + 0.25 / 2) / 2)
    assert mean_roughness(bent, (), torch.tensor([[5, 6]])) == 0.0


def test_noise_levels_are_log_logistic_between_their_bounds():
    noise = ActionNoise(median=0.5, spread=0.5, lowest=0.001, highest=80.0)
    levels = draw_noise_levels(noise, np.random.default_rng(0), 20_000)
    assert levels.dtype == np.float32
    assert levels.min() >= 0.001
    assert levels.max() <= 80.0
    assert np.median(levels) == pytest.approx(0.5, rel=0.05)
    # the logistic distribution's quartile lies ln(3) scales from its median
    assert np.quantile(levels, 0.75) == pytest.approx(0.5 * 3**0.5, rel=0.05)
    narrow = draw_noise_levels(ActionNoise(2.0, 0.8, 0.5, 1.0), np.random.default_rng(0), 1000)
    assert (narrow.min() >= 0.5, narrow.max() <= 1.0) == (True, True)


def test_prefixes_have_every_length_and_some_draws_have_none():
    lengths = draw_prefix_lengths(CommittedPrefix(5, 0.25), np.random.default_rng(0), 4000)
    shares = np.bincount(lengths) / len(lengths)
    assert shares == pytest.approx([0.25] + [0.15] * 5, abs=0.03)
    assert not draw_prefix_lengths(CommittedPrefix(), np.random.default_rng(0), 10).any()


def test_kept_features_are_under_the_noise_that_an_engine_uses(tmp_path):
    model = networks.save_random_model(tmp_path / "model")
    engine = create_engine("eager", model.path)
    torch.testing.assert_close(torch.from_numpy(engine._noise.latent), engine_latent_noise(networks.CONFIG))


def test_the_next_rest_is_where_the_arms_stand_still_whatever_the_grippers_do():
    from svam_train.episodes.episodes import Episode

    targets = np.zeros((20, 14), np.float32)
    targets[:10, 0] = np.linspace(0.0, 0.9, 10)
    targets[10:14, 0] = 0.9  # a rest, in which a gripper moves
    targets[10:14, 6] = np.linspace(0.0, 0.05, 4)
    targets[14:, 0] = np.linspace(1.0, 1.5, 6)
    images = np.zeros((10, 2, 2, 3), np.uint8)
    episode = Episode("e", "pour", "pour", 2, images, targets[::2].copy(), targets)
    rests = next_rests(episode)[:, 0]
    assert rests[:4] == pytest.approx([0.9] * 4)
    assert rests[6:] == pytest.approx([1.5] * 4)  # the rest is about to end: the next one counts


def test_places_that_are_not_visible_do_not_count():
    perceiver = networks.CONFIG.uni_perceiver
    read_outs = ReadOuts(networks.CONFIG, ReadOutWeights(places=1.0), movable=2)
    context = torch.randn(1, 2 * perceiver.latents_per_frame, perceiver.width)
    places = torch.zeros(1, 2, 2, 2)
    visible = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])

    def missed(places, visible):
        return read_outs.losses(context, {"places": places, "visible": visible})["places"]

    expected = missed(places, visible)
    places[:, :, 1] = 100.0
    torch.testing.assert_close(missed(places, visible), expected)
    places[:, :, 0] = 100.0
    assert missed(places, visible) > 10 * expected
    assert missed(places, torch.zeros_like(visible)) == 0


def test_pictures_change_within_bounds_and_each_in_its_own_way():
    made = demonstration("lift_pot", 0)
    images = torch.from_numpy(made.images[:2].astype(np.float32) / 127.5 - 1.0).permute(0, 3, 1, 2)
    same = change_pictures(images, Augmentation(), np.random.default_rng(0))
    torch.testing.assert_close(same, images)
    changed = change_pictures(images, Augmentation(0.1, 0.2, 0.1), np.random.default_rng(0))
    assert changed.abs().max() <= 1.0
    ways = (changed - images).mean(dim=(1, 2, 3))
    assert ways.abs().min() > 1e-3
    assert ways[0] != ways[1]


def test_shifted_pictures_repeat_their_edge():
    images = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4) / 16 - 1
    seen = set()
    for seed in range(120):
        shifted = change_pictures(images, Augmentation(shift_px=1), np.random.default_rng(seed))
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                rows, columns = np.clip(np.arange(4) - down, 0, 3), np.clip(np.arange(4) - right, 0, 3)
                if torch.allclose(shifted, images[:, :, rows][:, :, :, columns], atol=1e-6):
                    seen.add((down, right))
    assert len(seen) == 9
