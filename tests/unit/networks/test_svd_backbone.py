"""Our written-out calls against diffusers' own forward, with the same weights."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from support.networks import CONFIG, random_inputs, random_network
from torch.nn import functional

from svam_ros.networks.svd_backbone import SIGMA, BackboneConstants


@pytest.fixture(scope="module")
def network():
    return random_network(with_video_head=True).double()


@pytest.fixture(scope="module")
def diffusers_unet(network) -> UNetSpatioTemporalConditionModel:
    """The whole UNet as diffusers builds it, with the network's weights."""
    backbone = CONFIG.backbone
    unet = UNetSpatioTemporalConditionModel(
        in_channels=16,
        out_channels=8,
        down_block_types=(
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        up_block_types=(
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ),
        block_out_channels=backbone.block_widths,
        addition_time_embed_dim=backbone.time_id_width,
        projection_class_embeddings_input_dim=3 * backbone.time_id_width,
        layers_per_block=1,
        cross_attention_dim=2 * CONFIG.text.width,
        num_attention_heads=backbone.heads,
    )
    names = {
        name.replace("video_head.up_blocks.0", "up_blocks.2").replace("video_head.", ""): tensor
        for name, tensor in network.video_backbone.state_dict().items()
    }
    unet.load_state_dict(names, strict=True)
    return unet.double().eval()


def test_features_and_video_are_those_of_diffusers_unet(network, diffusers_unet):
    inputs = random_inputs(network)
    up_outputs = []
    for block in diffusers_unet.up_blocks[:2]:
        block.register_forward_hook(lambda module, args, output: up_outputs.append(output))
    with torch.no_grad():
        latents = network.encode_image(inputs.image)
        features = network.backbone(latents, inputs.condition, inputs.latent_noise)
        same_features, video = network.predict_video_latents(latents, inputs.condition, inputs.latent_noise)
        repeated = latents[:, None].expand(-1, CONFIG.backbone.frames, -1, -1, -1)
        velocity = diffusers_unet(
            torch.cat([inputs.latent_noise, repeated], dim=2),
            torch.tensor(0.25 * math.log(700.0)),
            inputs.condition.text_states,
            torch.tensor([[4.0, 127.0, 0.0]] * 2, dtype=torch.float64),
        ).sample
    expected = torch.cat([functional.interpolate(up_outputs[0], scale_factor=2), up_outputs[1]], dim=1)
    expected = expected.unflatten(0, (2, CONFIG.backbone.frames)).flatten(3).transpose(2, 3)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(features, same_features)
    root = math.sqrt(SIGMA**2 + 1)
    denoised = inputs.latent_noise / root - SIGMA / root * velocity
    torch.testing.assert_close(video, denoised, rtol=1e-9, atol=1e-9)


def test_text_and_constants_bear_the_names_of_diffusers_layers(network, diffusers_unet):
    """They are paired by name, so the order of a table says nothing."""
    inputs = random_inputs(network)
    backbone, text = network.video_backbone, inputs.condition.text_attention
    with torch.no_grad():
        constants = backbone.constants()
        latents = network.encode_image(inputs.image)
        before = backbone(inputs.latent_noise, latents, text, constants).features
        turned = BackboneConstants(
            constants.time_embedding,
            dict(reversed(constants.residuals.items())),
            dict(reversed(constants.frame_positions.items())),
        )
        after = backbone(inputs.latent_noise, latents, dict(reversed(text.items())), turned).features
    assert torch.equal(before, after)
    for names, kind in (
        (constants.residuals, "SpatioTemporalResBlock"),
        (text, "TransformerSpatioTemporalModel"),
    ):
        assert {type(diffusers_unet.get_submodule(name)).__name__ for name in names} == {kind}


def test_frames_differ_although_every_frame_is_shown_the_same_image(network):
    """Frame positions: even equal noise for all frames gives different features."""
    inputs = random_inputs(network)
    noise = inputs.latent_noise[:, :1].expand_as(inputs.latent_noise)
    with torch.no_grad():
        features = network.backbone(network.encode_image(inputs.image), inputs.condition, noise)
    assert not torch.allclose(features[:, 0], features[:, 1], atol=1e-4)


def test_every_sample_may_have_a_noise_level_of_its_own(network, diffusers_unet):
    inputs = random_inputs(network)
    sigma = torch.tensor([0.3, 40.0])
    backbone = network.video_backbone
    with torch.no_grad():
        latents = network.encode_image(inputs.image)
        constants = backbone.constants(sigma)
        output = backbone(inputs.latent_noise, latents, inputs.condition.text_attention, constants)
        velocity = backbone.predict_velocity(output, inputs.condition.text_states, constants)
        repeated = latents[:, None].expand(-1, CONFIG.backbone.frames, -1, -1, -1)
        expected = diffusers_unet(
            torch.cat([inputs.latent_noise, repeated], dim=2),
            0.25 * sigma.log(),
            inputs.condition.text_states,
            torch.tensor([[4.0, 127.0, 0.0]] * 2, dtype=torch.float64),
        ).sample
    torch.testing.assert_close(velocity, expected, rtol=1e-9, atol=1e-9)


def test_activations_computed_twice_give_the_same_gradients(network):
    inputs = random_inputs(network)
    backbone, constants = network.video_backbone, network.video_backbone.constants()
    names, weights = zip(*backbone.named_parameters(), strict=True)

    def gradients(recompute):
        backbone.recompute_activations(recompute)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            text = backbone.project_text(inputs.condition.text_states.detach())
            output = backbone(
                inputs.latent_noise, network.encode_image(inputs.image).detach(), text, constants
            )
            velocity = backbone.predict_velocity(output, inputs.condition.text_states.detach(), constants)
        return sum(kept), torch.autograd.grad(velocity.square().sum(), weights, retain_graph=True)

    try:
        kept, plain = gradients(recompute=False)
        kept_less, recomputed = gradients(recompute=True)
    finally:
        backbone.recompute_activations(recompute=False)
    assert kept_less < kept / 2
    for name, one, other in zip(names, plain, recomputed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=name)
