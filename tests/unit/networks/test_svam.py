from __future__ import annotations

import pytest
import torch
from support.networks import CONFIG, random_inputs, random_network, with_expert

from svam_ros.networks.presets import TINY


@pytest.fixture(scope="module")
def network():
    return random_network()


@pytest.fixture(scope="module")
def inputs(network):
    with torch.no_grad():
        return random_inputs(network)


def test_the_tiny_preset_predicts_a_chunk_for_every_row_of_a_batch():
    network = random_network(TINY)
    inputs = random_inputs(network)
    with torch.no_grad():
        # It sees the image and the sentence only.
        actions = network(inputs.image, inputs.condition, None, inputs.latent_noise, inputs.action_noise)
    assert actions.shape == (2, *TINY.action_noise_shape)
    assert torch.isfinite(actions).all()


def test_every_stage_has_the_documented_shape(network, inputs):
    config = CONFIG
    frames, tokens = config.backbone.frames, config.tokens_per_frame
    with torch.no_grad():
        latents = network.encode_image(inputs.image)
        features = network.backbone(latents, inputs.condition, inputs.latent_noise)
        references = network.references(inputs.image)
        foresight = network.decouple(features, references)
        foresight_tokens = network.foresight_tokens(foresight)
        context = network.perceive(features, foresight)
    assert latents.shape == (2, *config.latent_noise_shape[1:])
    assert features.shape == (2, frames, tokens, config.backbone.feature_width)
    assert references.semantic.shape == (2, tokens, config.references.semantic.width)
    assert references.geometric.shape == (2, tokens, config.references.geometric_width)
    assert foresight.semantic.shape == (2, frames, tokens, config.semantic_decoupler.width)
    assert foresight.geometric.shape == (2, frames, tokens, config.geometric_decoupler.width)
    assert foresight_tokens.semantic.shape == (2, frames, tokens, config.references.semantic.width)
    assert foresight_tokens.geometric.shape == (2, frames, tokens, config.references.geometric_width)
    assert context.shape == (2, frames * config.uni_perceiver.latents_per_frame, config.uni_perceiver.width)


def test_rows_of_a_batch_with_different_instructions_do_not_mix():
    network = random_network().double()
    with torch.no_grad():
        inputs = random_inputs(network)
        together = network(*inputs.as_tuple())
        alone = torch.cat([network(*inputs.rows([row]).as_tuple()) for row in (0, 1)])
        swapped = network(*inputs.rows([1, 0]).as_tuple())
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(together.flip(0), swapped, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("position", range(5))
def test_image_instruction_joints_and_both_noises_all_reach_the_actions(network, inputs, position):
    one = list(inputs.rows([0]).as_tuple())
    with torch.no_grad():
        before = network(*one)
        one[position] = inputs.rows([1]).as_tuple()[position]
        assert not torch.allclose(network(*one), before, atol=1e-5)


def test_the_network_draws_no_noise_of_its_own(network, inputs):
    state = torch.get_rng_state()
    with torch.no_grad():
        first, second = network(*inputs.as_tuple()), network(*inputs.as_tuple())
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_reaches_every_weight():
    network = random_network(with_video_head=True).train()
    inputs = random_inputs(network)
    _, video = network.predict_video_latents(
        network.encode_image(inputs.image), inputs.condition, inputs.latent_noise
    )
    (network(*inputs.as_tuple()).square().sum() + video.square().sum()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_precomputed_constants_change_nothing_and_are_forgotten_by_training():
    network = random_network()
    inputs = random_inputs(network)
    with torch.no_grad():
        plain = network(*inputs.as_tuple())
        prepared = network.prepare_for_inference()(*inputs.as_tuple())
        torch.testing.assert_close(prepared, plain, rtol=1e-4, atol=1e-5)
        network.train()
        network.video_backbone.time_embedding.linear_2.bias += 1.0
        network.eval()
        moved = network(*inputs.as_tuple())
    assert not torch.allclose(moved, prepared, atol=1e-4)


def test_training_after_running_trains_again_what_was_trainable_before():
    network = random_network()
    network.text_encoder.requires_grad_(requires_grad=False)
    before = {name for name, p in network.named_parameters() if p.requires_grad}
    network.prepare_for_inference().prepare_for_inference()
    assert not [name for name, p in network.named_parameters() if p.requires_grad]
    network.train()
    assert {name for name, p in network.named_parameters() if p.requires_grad} == before
    network.eval().requires_grad_(requires_grad=False).train()
    assert not [p for p in network.parameters() if p.requires_grad], "frozen by someone else, and left so"


@pytest.mark.parametrize("inside_another_module", [False, True])
def test_other_weights_in_a_prepared_network_bring_their_own_constants(inside_another_module):
    other, prepared = random_network(seed=5), random_network().prepare_for_inference()
    inputs = random_inputs(other)
    loaded = torch.nn.ModuleDict({"svam": prepared}) if inside_another_module else prepared
    prefix = "svam." if inside_another_module else ""
    loaded.load_state_dict({prefix + name: tensor for name, tensor in other.state_dict().items()})
    with torch.no_grad():
        torch.testing.assert_close(prepared(*inputs.as_tuple()), other(*inputs.as_tuple()), rtol=0, atol=1e-5)
    assert prepared.constants.backbone is prepared.constants.backbone, "computed once, not in every pass"


def test_a_prepared_network_in_another_precision_is_so_throughout():
    network = random_network().prepare_for_inference().double()
    assert network.constants.backbone.time_embedding.dtype == torch.float64
    assert network.constants.embedding.bias.dtype == torch.float64
    assert {m.dtype for step in network.constants.schedule.modulations for m in step} == {torch.float64}
    inputs = random_inputs(network)
    with torch.no_grad():
        plain = random_network().double()(*inputs.as_tuple())
        torch.testing.assert_close(network(*inputs.as_tuple()), plain, rtol=0, atol=1e-9)


def test_the_video_head_is_left_out_at_run_time_and_not_missed():
    trained = random_network(with_video_head=True)
    inputs = random_inputs(trained)
    deployed = random_network(seed=5)
    deployed.load_state_dict(trained.run_time_state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(deployed(*inputs.as_tuple()), trained(*inputs.as_tuple()))
        with pytest.raises(RuntimeError, match="with_video_head=True"):
            deployed.predict_video_latents(
                deployed.encode_image(inputs.image), inputs.condition, inputs.latent_noise
            )


def test_joints_are_refused_without_proprioception_and_demanded_with_it(network, inputs):
    image, condition, joints, latent_noise, action_noise = inputs.as_tuple()
    with pytest.raises(ValueError, match="needs the joints"):
        network(image, condition, None, latent_noise, action_noise)
    blind = random_network(with_expert(CONFIG, proprioception=False))
    with torch.no_grad():
        assert blind(image, condition, None, latent_noise, action_noise).shape == action_noise.shape
    with pytest.raises(ValueError, match="does not take the joints"):
        blind(image, condition, joints, latent_noise, action_noise)
