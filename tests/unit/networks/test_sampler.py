from __future__ import annotations

import pytest
import torch

from svam_ros.networks.sampler import edm_scalings, exponential_sigmas, sample_ddim


def test_the_published_evaluation_schedule():
    expected = [80, 49.16, 30.21, 18.57, 11.41, 7.012, 4.309, 2.648, 1.627, 1, 0]
    assert exponential_sigmas(10, 1.0, 80.0) == pytest.approx(expected, rel=5e-4)


def test_one_step_goes_from_the_highest_level_to_zero():
    assert exponential_sigmas(1, 1.0, 80.0) == (80.0, 0.0)


def test_preconditioning_keeps_unit_variance_at_every_noise_level():
    sigma = torch.tensor([0.01, 0.5, 80.0], dtype=torch.float64)
    scalings = edm_scalings(sigma, 0.5)
    torch.testing.assert_close(scalings.input**2 * (sigma**2 + 0.25), torch.ones(3, dtype=torch.float64))
    # A clean sample that the inner network predicts perfectly: skip * x + output * target is the sample.
    torch.testing.assert_close(
        scalings.skip**2 * sigma**2 + (1 - scalings.skip) ** 2 * 0.25, scalings.output**2
    )


def test_a_perfect_denoiser_is_followed_to_its_answer_and_sees_the_noise_shrink():
    answer = torch.full((1, 4, 2), 0.7)
    levels = []

    def denoise(x: torch.Tensor, step: int) -> torch.Tensor:
        levels.append((x - answer).abs().mean().item())
        return answer

    result = sample_ddim(denoise, torch.ones(1, 4, 2), exponential_sigmas(5, 0.5, 80.0))
    assert torch.equal(result, answer)
    assert levels == sorted(levels, reverse=True)
    # With noise 1 the distance at step i is sigma_i, up to the answer's share of the start.
    assert levels[-1] == pytest.approx(0.5 * levels[0] / 80.0, rel=1e-5)
