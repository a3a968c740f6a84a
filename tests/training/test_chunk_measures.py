"""Measures of sampled chunks: what they count, and what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from svam_train.stages.chunk_measures import arm_error_rad, arm_roughness

_RAMP = np.linspace(0.0, 1.0, 16)[None, :, None] ** 2 * np.ones((3, 1, 14))


def test_the_error_is_the_mean_over_arm_joints_and_knows_no_grippers() -> None:
    off = _RAMP.copy()
    off[..., [6, 13]] += 5.0
    off[..., 0] -= 0.12

    assert arm_error_rad(off, _RAMP) == pytest.approx(0.12 / 12)


def test_demonstrations_are_as_smooth_as_themselves_wherever_they_are() -> None:
    assert arm_roughness(_RAMP + 0.3, _RAMP) == pytest.approx(1.0)


def test_targets_that_alternate_are_rough_though_their_error_is_small() -> None:
    alternating = _RAMP + 0.02 * (-1.0) ** np.arange(16)[None, :, None]

    assert arm_error_rad(alternating, _RAMP) == pytest.approx(0.02)
    assert arm_roughness(alternating, _RAMP) > 8.0


def test_arms_that_stand_still_give_a_number() -> None:
    assert arm_roughness(np.zeros((1, 16, 14)), np.zeros((1, 16, 14))) == 0.0
