"""Videos in several steps: Euler's method from the noise of the policy's one pass, guided by the text."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from support.networks import CONFIG, random_inputs, random_network

from svam_ros.networks.sampler import sample_ddim
from svam_ros.networks.svd_backbone import SIGMA
from svam_train.recipes.video import VideoSampling
from svam_train.stages.video_sampling import noise_levels, sample_heun, sample_videos

SAMPLING = VideoSampling(steps=4, guidance_first=1.0, guidance_last=3.0)


@pytest.fixture(scope="module")
def network():
    """In double precision: a network of random weights blows up the last digits of its inputs."""
    return random_network(with_video_head=True).double()


@pytest.fixture(scope="module")
def inputs(network):
    with torch.no_grad():
        return random_inputs(network)


@pytest.fixture(scope="module")
def latents(network, inputs):
    with torch.no_grad():
        return network.encode_image(inputs.image)


def drawn(network, inputs, latents, sampling, **changes):
    values = {"text_states": inputs.condition.text_states, "noise": inputs.latent_noise, **changes}
    return sample_videos(network.video_backbone, latents, values["text_states"], values["noise"], sampling)


@pytest.mark.parametrize("guidance_last", [1.0, 3.0], ids=["plain", "guided"])
def test_the_first_step_is_the_policys_one_pass(network, inputs, latents, guidance_last):
    sampling = dataclasses.replace(SAMPLING, guidance_last=guidance_last)
    with torch.no_grad():
        features = network.backbone(latents, inputs.condition, inputs.latent_noise)
    video = drawn(network, inputs, latents, sampling)
    torch.testing.assert_close(video.features, features, rtol=1e-9, atol=1e-9)
    other = drawn(network, inputs, latents, sampling, noise=inputs.latent_noise.flip(0))
    assert not torch.allclose(other.features, features, atol=1e-2)


def test_a_video_of_one_step_is_what_the_one_pass_foresees(network, inputs, latents):
    with torch.no_grad():
        _, foreseen = network.predict_video_latents(latents, inputs.condition, inputs.latent_noise)
    video = drawn(network, inputs, latents, VideoSampling(steps=1, guidance_last=1.0))
    torch.testing.assert_close(video.latents, foreseen, rtol=1e-9, atol=1e-9)


def karras_scheduler(steps):
    scheduler = EulerDiscreteScheduler(
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=SIGMA,
        timestep_type="continuous",
        timestep_spacing="leading",
        prediction_type="v_prediction",
    )
    scheduler.set_timesteps(steps)
    return scheduler


def test_levels_are_those_of_diffusers_with_karras_spacing():
    levels = noise_levels(VideoSampling(steps=25))
    np.testing.assert_allclose(levels, karras_scheduler(25).sigmas.numpy(), rtol=1e-4)
    assert noise_levels(VideoSampling(steps=1)) == (SIGMA, 0.0)


class SmoothBackbone:
    """Any velocity that depends on everything a pass is given."""

    def constants(self, sigma=None):
        return 0.25 * (torch.tensor([SIGMA]) if sigma is None else sigma).log()

    def project_text(self, states):
        return states.mean(dim=(1, 2))[:, None, None, None, None]

    def __call__(self, noised, image_latents, text, timestep):
        mixed = 0.7 * noised + 0.2 * image_latents[:, None] + text + 0.1 * timestep.float()
        return SimpleNamespace(features=mixed, velocity=mixed.sin())

    def predict_velocity(self, passed, text_states, constants):
        return passed.velocity


def test_several_steps_are_those_of_the_scheduler_of_stable_video_diffusion(inputs, latents):
    scheduler = karras_scheduler(SAMPLING.steps)
    backbone, text = SmoothBackbone(), inputs.condition.text_states.float()
    noise, first = inputs.latent_noise.float(), latents.float()
    x = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, timestep)
        passed = backbone(scaled, first, backbone.project_text(text), timestep[None])
        x = scheduler.step(passed.velocity, timestep, x).prev_sample
    plain = dataclasses.replace(SAMPLING, guidance_last=1.0)
    ours = sample_videos(backbone, first, text, noise, plain)
    torch.testing.assert_close(ours.latents, x, rtol=1e-3, atol=1e-4)


def test_guidance_goes_away_from_no_text_linearly_over_the_frames(network, inputs, latents):
    one_step = dataclasses.replace(SAMPLING, steps=1)
    plain = dataclasses.replace(one_step, guidance_last=1.0)
    with_text = drawn(network, inputs, latents, plain).latents
    nothing = torch.zeros_like(inputs.condition.text_states)
    without = drawn(network, inputs, latents, plain, text_states=nothing).latents
    factors = torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    assert CONFIG.backbone.frames == len(factors)
    guided = drawn(network, inputs, latents, one_step).latents
    assert not torch.allclose(with_text, without, atol=1e-3)
    torch.testing.assert_close(guided, without + factors * (with_text - without), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"sigma_min": 0.0}, {"sigma_min": 700.0}, {"rho": 0.0}])
def test_wrong_numbers_are_refused(changes):
    with pytest.raises(ValueError, match="steps >= 1"):
        VideoSampling(**changes)


def test_a_network_without_a_video_head_is_refused(inputs, latents):
    with pytest.raises(RuntimeError, match="with_video_head"):
        drawn(random_network().double(), inputs, latents, SAMPLING)


@pytest.mark.parametrize("guidance_last", [1.0, 3.0], ids=["plain", "guided"])
def test_heuns_method_begins_with_the_policys_pass_too_and_ends_elsewhere(
    network, inputs, latents, guidance_last
):
    sampling = dataclasses.replace(SAMPLING, guidance_last=guidance_last)
    euler, heun = (
        drawn(network, inputs, latents, dataclasses.replace(sampling, method=method))
        for method in ("euler", "heun")
    )
    torch.testing.assert_close(heun.features, euler.features, rtol=0, atol=0)
    assert torch.isfinite(heun.latents).all()
    assert not torch.allclose(heun.latents, euler.latents, atol=1e-3)


def test_heuns_method_is_of_second_order():
    """Of normal data the flow is known: everything shrinks with sqrt(1 + sigma^2)."""
    noise = torch.randn(2, 3, dtype=torch.float64)
    sampling = VideoSampling(steps=40, sigma_min=0.01)
    errors = {}
    for steps in (40, 80):
        sigmas = noise_levels(dataclasses.replace(sampling, steps=steps))
        exact = noise * sigmas[0] / (1.0 + sigmas[0] ** 2) ** 0.5

        def denoise(x, step, sigmas=sigmas):
            return x / (1.0 + sigmas[step] ** 2)

        for method in (sample_ddim, sample_heun):
            errors[method, steps] = float((method(denoise, noise, sigmas) - exact).abs().max())
    assert errors[sample_ddim, 40] / errors[sample_ddim, 80] == pytest.approx(2.0, rel=0.2)
    assert errors[sample_heun, 40] / errors[sample_heun, 80] > 3.0
    assert errors[sample_heun, 40] < 0.3 * errors[sample_ddim, 40]
