"""The loop's numbers: ranges, division of a batch, learning rate."""

from dataclasses import replace

import pytest
from support.made_up_training import SETTINGS

from svam_train.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("keep_checkpoints", 0),
        ("log_every", 0),
        ("evaluate_every", 0),
        ("pictures_every", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("gradient_norm", -1.0),
        ("checkpoint_every_s", 0.0),
        ("warm_up_steps", -1),
        ("weight_decay", -0.1),
        ("seed", -1),
        ("average_decay", 1.0),
        ("betas", (0.9, 1.0)),
    ],
)
def test_a_number_out_of_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        replace(SETTINGS, **{name: value})


def test_rows_are_divided_over_processes_and_parts():
    assert replace(SETTINGS, batch_size=24, accumulate=3).rows_per_part(2) == 4


def test_a_batch_that_cannot_be_divided_evenly_is_refused():
    with pytest.raises(ValueError, match="multiple of 6"):
        replace(SETTINGS, batch_size=20, accumulate=3).rows_per_part(2)


def rates(**changes) -> list[float]:
    settings = replace(SETTINGS, learning_rate=1.0, steps=100, **changes)
    return [learning_rate(step, settings) for step in range(100)]


def test_the_learning_rate_rises_over_the_warm_up():
    assert rates(schedule="constant", warm_up_steps=4)[:6] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_learning_rate_falls_to_nearly_zero_or_stays():
    cosine, linear = rates(schedule="cosine", warm_up_steps=0), rates(schedule="linear", warm_up_steps=0)
    assert cosine[0] == linear[0] == 1.0
    assert cosine[50] == pytest.approx(0.5)
    assert cosine[25] == pytest.approx(0.8536, abs=1e-4)
    assert linear[25] == pytest.approx(0.75)
    assert 0.0 < cosine[99] < linear[99] < 0.011
    assert set(rates(schedule="constant", warm_up_steps=0)) == {1.0}
