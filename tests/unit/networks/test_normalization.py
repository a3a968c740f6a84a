from __future__ import annotations

import numpy as np
import pytest
from support.networks import statistics

from svam_ros.networks.normalization import AffineNormalization, Statistics, fit_normalization

RNG = np.random.default_rng(3)


def test_denormalising_inverts_normalising_far_outside_the_fitted_range_too():
    targets, joints = RNG.normal(0, 3.0, (5, 16, 14)), RNG.normal(0, 3.0, (5, 14))
    there = statistics().normalise_actions(targets, joints)
    np.testing.assert_allclose(
        statistics().denormalise_actions(there, joints), targets, rtol=1e-13, atol=1e-13
    )


def test_relative_dimensions_move_with_the_joints_and_absolute_ones_do_not():
    joints = np.full(14, 0.5)
    shifted = statistics().denormalise_actions(np.zeros((2, 14)), joints) - statistics().denormalise_actions(
        np.zeros((2, 14)), np.zeros(14)
    )
    np.testing.assert_allclose(shifted[:, [0, 5, 7, 12]], 0.5)
    np.testing.assert_allclose(shifted[:, [6, 13]], 0.0)


def test_range_maps_percentiles_to_the_unit_interval_and_moments_to_unit_variance():
    values = RNG.normal(2.0, 0.3, (5000, 3))
    ranged = fit_normalization(values, "range").normalise(values)
    np.testing.assert_allclose(np.percentile(ranged, [1, 99], axis=0), [[-1] * 3, [1] * 3], atol=1e-9)
    standard = fit_normalization(values, "moments").normalise(values)
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(standard.std(axis=0), 1.0, atol=1e-9)


def test_a_joint_that_never_moved_gets_the_smallest_scale():
    assert fit_normalization(np.zeros((10, 2)), "range", smallest_scale=0.01).scale == (0.01, 0.01)


@pytest.mark.parametrize(
    ("offset", "scale", "words"),
    [
        ((0.0,), (1.0, 2.0), "1 offsets but 2 scales"),
        ((0.0,), (0.0,), "above 0"),
        ((np.nan,), (1.0,), "finite"),
    ],
)
def test_impossible_constants_are_refused(offset, scale, words):
    with pytest.raises(ValueError, match=words):
        AffineNormalization(offset, scale)


def test_too_few_or_broken_samples_and_parts_of_different_length_are_refused():
    with pytest.raises(ValueError, match="at least 2 finite samples"):
        fit_normalization(np.zeros((1, 14)), "range")
    with pytest.raises(ValueError, match="at least 2 finite samples"):
        fit_normalization(np.array([[0.0], [np.nan]]), "moments")
    one = AffineNormalization((0.0,), (1.0,))
    with pytest.raises(ValueError, match="differ in length"):
        Statistics(one, one, (True, False))


def test_actions_that_are_relative_to_nothing_do_not_look_at_the_joints():
    unchanged = AffineNormalization((0.0,) * 7, (1.0,) * 7)
    absolute = Statistics(unchanged, unchanged, (False,) * 7)
    actions = RNG.normal(0, 1.0, (5, 16, 7))
    assert np.array_equal(absolute.denormalise_actions(actions, np.ones((5, 14))), actions)
