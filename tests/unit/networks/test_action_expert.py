from __future__ import annotations

import dataclasses

import pytest
import torch
from support.networks import CONFIG

from svam_ros.networks.action_expert import ActionExpert
from svam_ros.networks.attention import CausalCrossAttention
from svam_ros.networks.sampler import edm_scalings, exponential_sigmas, sample_ddim

LENGTH = CONFIG.action_expert.pred_horizon


@pytest.fixture(scope="module")
def expert() -> ActionExpert:
    torch.manual_seed(0)
    return ActionExpert(96, 64, CONFIG.action_expert).eval()


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"context": (2, 24, 96), "goal_token": (2, 1, 128), "joints": (2, 14), "noise": (2, LENGTH, 14)}
    return {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}


@torch.no_grad()
def test_action_i_attends_to_the_context_rows_up_to_i_only():
    attention = CausalCrossAttention(32, 2)
    x, context = torch.randn(1, LENGTH, 32), torch.randn(1, LENGTH, 32)
    before = attention(x, attention.keys_values(context))
    for changed_row in range(LENGTH):
        other = context.clone()
        other[:, changed_row] += 1.0
        difference = (attention(x, attention.keys_values(other)) - before).abs().amax(dim=(0, 2))
        assert torch.equal(difference[:changed_row], torch.zeros(changed_row))
        assert (difference[changed_row:] > 0).all()


@torch.no_grad()
def test_queries_beyond_the_end_of_a_short_context_see_all_of_it():
    attention = CausalCrossAttention(32, 2)
    x, context = torch.randn(1, 5, 32), torch.randn(1, 3, 32)
    before = attention(x, attention.keys_values(context))
    for changed_row in range(3):
        other = context.clone()
        other[:, changed_row] += 1.0
        difference = (attention(x, attention.keys_values(other)) - before).abs().amax(dim=(0, 2))
        assert torch.equal(difference[:changed_row], torch.zeros(changed_row))
        assert (difference[changed_row:] > 0).all()


def test_cross_attention_refuses_more_keys_than_queries():
    attention = CausalCrossAttention(32, 2)
    with pytest.raises(ValueError, match="3 queries never see more keys than their number, got 5"):
        attention(torch.randn(1, 3, 32), attention.keys_values(torch.randn(1, 5, 32)))


@torch.no_grad()
def test_encoded_rows_beyond_the_horizon_have_no_influence_and_the_last_visible_one_has(expert, inputs):
    encoded = expert.encode(inputs["context"], inputs["goal_token"], inputs["joints"])
    sigma = torch.tensor([0.5, 5.0])
    before = expert.denoise(inputs["noise"], sigma, expert.keys_values(encoded))
    beyond, visible = encoded.clone(), encoded.clone()
    beyond[:, LENGTH:] = 7.0
    visible[:, LENGTH - 1] += 1.0
    assert torch.equal(expert.denoise(inputs["noise"], sigma, expert.keys_values(beyond)), before)
    after = expert.denoise(inputs["noise"], sigma, expert.keys_values(visible))
    assert torch.allclose(after[:, :-1], before[:, :-1])
    assert not torch.allclose(after[:, -1], before[:, -1])


@torch.no_grad()
def test_the_rows_asked_for_are_those_of_the_whole_encoding(expert, inputs):
    arguments = (inputs["context"], inputs["goal_token"], inputs["joints"])
    whole, rows = expert.encode(*arguments), expert.encode(*arguments, first=LENGTH)
    assert rows.shape == (2, LENGTH, whole.shape[-1])
    torch.testing.assert_close(rows, whole[:, :LENGTH])


@torch.no_grad()
def test_later_actions_do_not_change_earlier_ones(expert, inputs):
    keys_values = expert.keys_values(expert.encode(inputs["context"], inputs["goal_token"], inputs["joints"]))
    sigma = torch.tensor([1.0, 1.0])
    before = expert.denoise(inputs["noise"], sigma, keys_values)
    noised = inputs["noise"].clone()
    noised[:, 3:] += 1.0
    after = expert.denoise(noised, sigma, keys_values)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3], before[:, 3])


@torch.no_grad()
def test_one_encoding_and_precomputed_modulation_equal_the_plain_sampler(expert, inputs):
    """The published sampler encodes the context and embeds sigma anew at each of its steps."""
    sigmas = exponential_sigmas(3, CONFIG.action_expert.sigma_min, CONFIG.action_expert.sigma_max)

    def denoise_from_scratch(x: torch.Tensor, step: int) -> torch.Tensor:
        encoded = expert.encode(inputs["context"], inputs["goal_token"], inputs["joints"])
        return expert.denoise(x, torch.full((2,), sigmas[step]), expert.keys_values(encoded))

    plain = sample_ddim(denoise_from_scratch, inputs["noise"], sigmas)
    fast = expert(
        inputs["context"], inputs["goal_token"], inputs["joints"], inputs["noise"], expert.schedule()
    )
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_inner_error_is_the_denoising_error_over_the_output_scale(expert, inputs):
    keys_values = expert.keys_values(expert.encode(inputs["context"], inputs["goal_token"], inputs["joints"]))
    actions, sigma = torch.randn(2, LENGTH, 14), torch.tensor([0.3, 4.0])
    error = expert.denoising_error(actions, inputs["noise"], sigma, keys_values)
    denoised = expert.denoise(actions + sigma[:, None, None] * inputs["noise"], sigma, keys_values)
    output_scale = edm_scalings(sigma[:, None, None], 0.5).output
    torch.testing.assert_close(error, (denoised - actions) / output_scale, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_modulation_multiplies_by_the_scale_itself(expert, inputs):
    """A scale of zero hides the actions from a block's self-attention and MLP: it is not 1 + scale."""
    block = expert._decoder_blocks()[0]
    keys_values = expert.keys_values(
        expert.encode(inputs["context"], inputs["goal_token"], inputs["joints"])
    )[0]
    width = CONFIG.action_expert.width
    shift, scale, gate = torch.full((1, 1, width), 0.3), torch.zeros(1, 1, width), torch.ones(1, 1, width)
    modulation = torch.cat([shift, scale, gate] * 2, dim=-1)
    block.cross_attention.output.weight.data.zero_()
    x, y = torch.randn(2, LENGTH, width), torch.randn(2, LENGTH, width)
    added_to_x = block(x, modulation, keys_values) - x
    added_to_y = block(y, modulation, keys_values) - y
    torch.testing.assert_close(added_to_x, added_to_y, rtol=1e-4, atol=1e-5)
    assert added_to_x.abs().max() > 1e-3


@torch.no_grad()
def test_the_sampler_takes_another_schedule_when_asked(expert):
    assert expert.schedule().sigmas == exponential_sigmas(3, CONFIG.action_expert.sigma_min, 80.0)
    other = expert.schedule(steps=5, sigma_min=1.0)
    assert len(other.modulations) == len(other.scalings) == 5
    assert other.sigmas[-2] == pytest.approx(1.0)


def test_dropout_acts_in_training_only():
    config = dataclasses.replace(
        CONFIG.action_expert, attention_dropout=0.3, residual_dropout=0.1, mlp_dropout=0.05
    )
    expert = ActionExpert(96, 64, config)
    arguments = (torch.randn(1, 24, 96), torch.randn(1, 1, 128), torch.randn(1, 14))
    expert.train()
    assert not torch.equal(expert.encode(*arguments), expert.encode(*arguments))
    expert.eval()
    assert torch.equal(expert.encode(*arguments), expert.encode(*arguments))
