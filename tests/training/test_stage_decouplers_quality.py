"""The linear depth probe and the fixed colours: what they can and cannot tell."""

import numpy as np
import pytest
import torch

from svam_train.stages.depth_probe import DepthProbeFit
from svam_train.stages.feature_pictures import ColourBasis, depth_colours, table
from svam_train.stages.foresight_quality import ForesightQuality


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_probe_finds_a_linear_relation_whatever_the_parts():
    truth, tokens = normal(6, 4), normal(5, 3, 16, 6, seed=1)
    depth = tokens @ truth + 2.0
    whole, parts = DepthProbeFit(), DepthProbeFit()
    whole.add(tokens, depth)
    for part in range(5):
        parts.add(tokens[part : part + 1], depth[part : part + 1])
    unseen = normal(10, 6, seed=2)
    for fit in (whole, parts):
        torch.testing.assert_close(fit.fit().depth(unseen), unseen @ truth + 2.0, atol=5e-3, rtol=5e-3)


def test_the_probe_of_tokens_without_depth_tells_the_mean():
    tokens, depth = normal(5000, 6), normal(5000, 1, seed=1) + 3.0
    fit = DepthProbeFit()
    fit.add(tokens, depth)
    assert (fit.fit().depth(normal(100, 6, seed=3)) - 3.0).abs().max() < 0.3


def test_colours_follow_the_largest_differences_and_do_not_depend_on_the_library_s_signs():
    strong = normal(4000, 1) * 10.0
    features = torch.cat([strong, normal(4000, 5, seed=1)], dim=1)
    basis = ColourBasis.fit(features)
    assert basis.directions[:, 0].abs().argmax() == 0
    assert (basis.directions.gather(0, basis.directions.abs().argmax(0, keepdim=True)) > 0).all()
    low, high = torch.zeros(4, 6), torch.zeros(4, 6)
    low[:, 0], high[:, 0] = -30.0, 30.0
    assert basis.colours(low).shape == (2, 2, 3)
    assert (basis.colours(low)[..., 0] == 0).all()
    assert (basis.colours(high)[..., 0] == 255).all()


def test_near_is_red_and_far_is_blue():
    picture = depth_colours(np.array([[0.5, 1.5]], np.float32), 0.5, 1.5)
    near, far = picture[0].astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_pictures_of_any_size_stand_in_rows():
    small, large = np.zeros((2, 2, 3), np.uint8), np.full((300, 300, 3), 255, np.uint8)
    whole = table([("one", [small, large]), ("two\nlines", [large, small])])
    assert whole.shape == (256, 150 + 256, 3)
    assert whole[10, 160].tolist() == [0, 0, 0]
    assert whole[140, 160].tolist() == [255, 255, 255]


def test_metrics_leave_out_the_first_frame():
    quality = ForesightQuality({"semantic": (1.0, 0.5, 0.7)}, {"semantic": (0.0, 0.2, 0.4)}, {})
    assert quality.metrics() == {
        "cosine_semantic": pytest.approx(0.6),
        "squared_error_semantic": pytest.approx(0.3),
    }
