"""What a variant takes away from the network is gone, stays gone in training, and nothing else changes."""

import pickle

import pytest
import torch
from support import networks
from support.ablation_runs import parent_run
from support.action_runs import IMAGE, SMALL, demonstrations, trained
from torch.nn import functional

from svam_ros.networks.presets import CALVIN, TINY
from svam_ros.networks.svam import Foresight, Svam
from svam_ros.networks.uni_perceiver import UniPerceiverLayer
from svam_train.ablation.ablation_run import variant_change
from svam_train.ablation.network_variants import (
    FIRST_LAYER,
    CellAverages,
    apply_variant,
    count_parameters,
    sees_what_it_should,
)
from svam_train.ablation.trained_variant import trained_variant
from svam_train.publishing.run_model import publish_run
from svam_train.recipes.ablation import INPUTS, VARIANTS, AblationPlan
from svam_train.stages.inheritance import inherited_weights
from svam_train.training.run_folder import RunError, load_weights

LEAVING_OUT = [variant for variant in VARIANTS.values() if variant.left_out]
CONFIG = networks.CONFIG
WIDTHS = dict(
    zip(
        INPUTS,
        (
            CONFIG.backbone.feature_width,
            CONFIG.references.semantic.width,
            CONFIG.references.geometric_width,
        ),
        strict=True,
    )
)


def perceived(network, seeds):
    """Context of random inputs, each drawn with a seed of its own."""

    def drawn(name, width):
        shape = (1, CONFIG.backbone.frames, CONFIG.tokens_per_frame, width)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seeds[name]))

    foresight = Foresight(
        drawn("semantic", CONFIG.semantic_decoupler.width),
        drawn("geometric", CONFIG.geometric_decoupler.width),
    )
    return network.perceive(drawn("features", WIDTHS["features"]), foresight)


def made(variant):
    network = networks.random_network()
    apply_variant(network, variant)
    return network


def steps_on(network, count=3):
    """Training of the Uni-Perceiver alone, with decay, as the loop trains."""
    for name, value in network.named_parameters():
        value.requires_grad_(False).requires_grad_(name.startswith("uni_perceiver"))
    trained = list(network.uni_perceiver.parameters())
    optimizer = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.1)
    for step in range(count):
        optimizer.zero_grad()
        seeds = dict.fromkeys(INPUTS, step)
        (perceived(network, seeds) * torch.linspace(-1, 1, CONFIG.uni_perceiver.width)).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_the_context_depends_on_the_inputs_that_are_seen_and_on_no_other_even_after_training(variant):
    network = made(variant)
    before = network.state_dict()[FIRST_LAYER].clone()
    steps_on(network)
    assert sees_what_it_should(network.state_dict(), CONFIG, variant)
    assert not torch.equal(network.state_dict()[FIRST_LAYER], before)
    with torch.no_grad():
        usual = perceived(network, dict.fromkeys(INPUTS, 1))
        for name in INPUTS:
            other = perceived(network, dict.fromkeys(INPUTS, 1) | {name: 9})
            assert torch.equal(other, usual) == (name in variant.left_out), name


def test_all_other_weights_start_as_those_of_the_whole_network():
    whole = networks.random_network().state_dict()
    for variant in LEAVING_OUT:
        changed = {n for n, tensor in made(variant).state_dict().items() if not torch.equal(tensor, whole[n])}
        assert changed == {FIRST_LAYER}


def test_the_biases_of_a_foresight_that_is_left_out_do_not_come_through():
    network = made(VARIANTS["one_step_features"])
    usual = network.constants.embedding.bias.clone()
    with torch.no_grad():
        network.semantic_decoupler.output_projection.bias += 5.0
    assert torch.equal(network.constants.embedding.bias, usual)


def test_columns_that_are_not_zero_are_noticed():
    weights = made(VARIANTS["without_semantic"]).state_dict()
    weights[FIRST_LAYER][0, WIDTHS["features"]] = 1e-8
    assert not sees_what_it_should(weights, CONFIG, VARIANTS["without_semantic"])
    assert not sees_what_it_should(weights, CONFIG, VARIANTS["full"])


@pytest.mark.parametrize(("grid", "cells"), [(4, 8), (8, 12), (16, 14), (8, 64), (3, 1)])
def test_every_token_counts_in_one_cell_and_order_within_it_does_not(grid, cells):
    averages = CellAverages(grid, cells)
    assert torch.equal((averages.shares > 0).sum(dim=0), torch.ones(grid * grid, dtype=torch.int64))
    torch.testing.assert_close(averages.shares.sum(dim=1), torch.ones(cells))
    tokens, latents = torch.randn(2, grid * grid, 5), torch.randn(2, cells, 5)
    pooled = averages(latents, tokens, 2)
    assert pooled.shape == latents.shape
    within = torch.arange(grid * grid)
    for cell in averages.shares > 0:
        members = cell.nonzero().flatten()
        within[members] = members.roll(1)
    torch.testing.assert_close(averages(latents, tokens[:, within], 2), pooled)
    if cells > 1:
        assert not torch.allclose(averages(latents, tokens.flip(1), 2), pooled)


def test_cells_are_those_of_the_picture():
    """Against torch's own pooling, where it cuts into the same cells."""
    tokens = torch.randn(1, 16, 3)
    picture = tokens.transpose(1, 2).unflatten(2, (4, 4))
    pooled = functional.avg_pool2d(picture, (2, 1)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(CellAverages(4, 8)(torch.zeros(1, 8, 3), tokens, 1), pooled)


def test_a_picture_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="4 x 4 tokens cannot be cut into 13 cells"):
        CellAverages(4, 13)


def test_without_the_uni_perceiver_the_whole_network_still_runs_and_frames_exchange_nothing():
    network = made(VARIANTS["without_uni_perceiver"])
    assert not any(isinstance(module, UniPerceiverLayer) for module in network.modules())
    inputs = networks.random_inputs(network)
    actions = network(*inputs.as_tuple())
    assert actions.shape == (2, *CONFIG.action_noise_shape)
    torch.testing.assert_close(network.prepare_for_inference()(*inputs.as_tuple()), actions)
    features = torch.randn(1, 3, CONFIG.tokens_per_frame, WIDTHS["features"])
    foresight = Foresight(*torch.randn(2, 1, 3, CONFIG.tokens_per_frame, 64))
    context = network.perceive(features, foresight)
    assert context.shape == perceived(networks.random_network(), dict.fromkeys(INPUTS, 0)).shape
    features[:, 2] += 1.0
    other = network.perceive(features, foresight).unflatten(1, (3, -1))
    same = [torch.equal(other[:, frame], context.unflatten(1, (3, -1))[:, frame]) for frame in range(3)]
    assert same == [True, True, False]


@pytest.mark.parametrize("config", [TINY, CALVIN], ids=["tiny", "calvin"])
def test_parameters_are_counted_without_what_is_left_out(config):
    counts = {name: count_parameters(config, variant) for name, variant in VARIANTS.items()}
    hidden, references = config.uni_perceiver.hidden_width, config.references
    lost = hidden * (references.semantic.width + references.geometric_width)
    assert counts["full"] == counts["true_future"]
    assert counts["full"].trained - counts["one_step_features"].trained == lost
    assert counts["full"].at_run_time - counts["one_step_features"].at_run_time == lost
    if config is TINY:
        network = Svam(TINY)
        layers = sum(value.numel() for value in network.uni_perceiver.layers.parameters())
        assert counts["full"].at_run_time == sum(value.numel() for value in network.parameters())
        assert counts["full"].trained - counts["without_uni_perceiver"].trained == layers


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return demonstrations(tmp_path_factory.mktemp("demonstrations"))


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return parent_run(tmp_path_factory.mktemp("parents"))


@pytest.mark.slow
def test_a_run_without_an_input_is_an_ordinary_one(data, parent, tmp_path):
    variant = VARIANTS["without_features"]
    run = trained(SMALL, data, parent, tmp_path / "run", change=variant_change(variant))
    assert sees_what_it_should(inherited_weights(run), TINY, variant)
    published = publish_run(run, tmp_path / "model").load_network()
    assert sees_what_it_should(dict(published.state_dict()), TINY, variant)
    model = pickle.loads(pickle.dumps(trained_variant(run, variant, SMALL, IMAGE)))  # as a worker gets it
    for name, tensor in model.load_network().run_time_state_dict().items():
        torch.testing.assert_close(tensor, published.state_dict()[name], atol=2e-3, rtol=2e-3)
    with pytest.raises(RunError, match="does not leave out what variant 'full' leaves out"):
        trained_variant(run, VARIANTS["full"], SMALL, IMAGE).load_network()
    with pytest.raises(RunError, match=r"other values of change\.name"):
        trained(SMALL, data, parent, run, resume=True, change=variant_change(VARIANTS["without_semantic"]))


@pytest.mark.slow
def test_a_run_without_the_uni_perceiver_is_loaded_but_never_published(data, parent, tmp_path):
    variant = VARIANTS["without_uni_perceiver"]
    run = trained(SMALL, data, parent, tmp_path / "run", change=variant_change(variant))
    loaded = trained_variant(run, variant, SMALL, IMAGE).load_network()
    for name, tensor in load_weights(run).items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    with pytest.raises(RunError, match="is no run of 'svam-train actions'"):
        publish_run(run, tmp_path / "model")
    with pytest.raises(RunError, match="not those of variant 'full'"):
        trained_variant(run, VARIANTS["full"], SMALL, IMAGE).load_network()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"variants": ()}, "at least one"),
        ({"seeds": (1, 1)}, "none twice"),
        ({"variants": ("ful",)}, "no variant ful; there are: full, without_geometric"),
        ({"seeds": (-1,)}, "must not be negative"),
        ({"episodes": 0}, "at least 1"),
    ],
)
def test_plans_that_cannot_be_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        AblationPlan(**wrong)
