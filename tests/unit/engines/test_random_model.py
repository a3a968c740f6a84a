"""Seeded weights: the same numbers everywhere, of a scale that every precision survives."""

import numpy as np
import pytest
import torch
from support.networks import observation

from svam_ros.engines.eager import EagerEngine
from svam_ros.engines.random_model import SENTENCE, PresetError, random_model, seeded_weights

SHAPES = {"a.weight": (64, 32, 3, 3), "a.bias": (64,), "norm.weight": (64,), "mix": ()}


def weights(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return dict(seeded_weights(SHAPES, seed, dtype))


def test_a_weight_depends_on_its_name_and_the_seed_alone():
    alone = dict(seeded_weights({"a.bias": (64,)}, 0))["a.bias"]
    assert torch.equal(alone, weights()["a.bias"])
    assert not torch.equal(alone, weights(seed=1)["a.bias"])
    assert list(weights()) == list(SHAPES)
    assert {name: tuple(tensor.shape) for name, tensor in weights().items()} == SHAPES


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_precisions_hold_the_same_numbers_rounded(dtype):
    for name, tensor in weights(dtype=dtype).items():
        assert torch.equal(tensor, weights()[name].to(dtype))


def test_kernels_keep_unit_variance_norms_lie_near_one_and_biases_near_zero():
    drawn = weights()
    assert drawn["a.weight"].std() == pytest.approx((32 * 9) ** -0.5, rel=0.05)
    assert drawn["norm.weight"].mean() == pytest.approx(1, abs=0.1)
    assert drawn["a.bias"].abs().max() < 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_preset_runs_in_every_precision(dtype):
    engine = EagerEngine(random_model("tiny"), dtype=dtype)
    actions = engine.infer(observation(SENTENCE)).actions
    assert actions.shape == (16, 14)
    assert 1e-3 < np.abs(actions).max() < 1e3
    assert engine.model_name == "tiny with random weights"


def test_a_preset_of_another_robot_can_be_opened():
    model = random_model("calvin")
    assert len(model.manifest.joint_names) == 7
    assert model.tokenizer.encode(SENTENCE).token_ids[0, 0] == model.manifest.config.text.bos_id


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(PresetError, match=r"did you mean 'cobot'.*tiny, calvin, cobot"):
        random_model("cobott")
