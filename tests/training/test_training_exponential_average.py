"""The moving average: its rule, and that looking through it leaves the module as it was."""

import pytest
import torch
from support.made_up_training import MadeUpNetwork
from torch import nn

from svam_train.training.exponential_average import ExponentialAverage, trained_tensors


def bits(module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in module.state_dict().items()}


def changed(module):
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.rand(value.shape))


def test_early_steps_count_for_more():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = ExponentialAverage(module, decay=0.5)
    nn.init.ones_(module.weight)
    average.update(module, step=0)
    assert average.values["weight"].item() == pytest.approx(0.9)
    average.update(module, step=1000)
    assert average.values["weight"].item() == pytest.approx(0.95)


def test_frozen_parameters_are_left_out_and_counts_are_copied():
    module = MadeUpNetwork(dropout=0.0)
    average = ExponentialAverage(module, decay=0.5)
    assert "frozen" not in average.values
    module.forwards += 3
    average.update(module, step=1000)
    assert average.values["forwards"] == 3


def test_the_module_carries_the_average_within_the_block_only():
    module = MadeUpNetwork(dropout=0.0)
    average = ExponentialAverage(module, decay=0.5)
    changed(module)
    average.update(module, step=1000)
    own, averaged = bits(module), {name: value.clone() for name, value in average.values.items()}
    with average.carried_by(module):
        assert all(torch.equal(value, averaged[name]) for name, value in trained_tensors(module).items())
    assert bits(module) == own
    with pytest.raises(KeyError), average.carried_by(module):
        raise KeyError
    assert bits(module) == own
    assert all(torch.equal(value, averaged[name]) for name, value in average.values.items())


def test_weights_that_are_shared_are_averaged_once():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    module[1].weight = module[0].weight
    average = ExponentialAverage(module, decay=0.5)
    changed(module)
    average.update(module, step=1000)
    own = bits(module)
    with average.carried_by(module):
        assert bits(module) != own
    assert bits(module) == own


@pytest.mark.parametrize(
    "spoil", [lambda values: values.pop("weight"), lambda v: v.update(weight=torch.ones(1))]
)
def test_averages_of_another_module_are_refused(spoil):
    average = ExponentialAverage(nn.Linear(2, 2), decay=0.5)
    values = {name: value.clone() for name, value in average.values.items()}
    spoil(values)
    with pytest.raises(ValueError, match="weight"):
        average.restore(values)
