"""Predictions of the same moments, averaged."""

from __future__ import annotations

import numpy as np
import pytest

from svam_ros.control.overlap_average import OverlapAverage

STEP_NS = 40_000_000
MASK = np.array([True, False])


def line(offset: float, first: float = 0.0) -> np.ndarray:
    """Two joints that go up by one a step, from ``offset``."""
    return np.repeat((np.arange(6.0) + first + offset)[:, None], 2, axis=1)


def test_older_predictions_pull_the_steps_they_reach_and_no_others():
    average = OverlapAverage(0.5, STEP_NS, MASK)
    assert np.array_equal(average.add(line(0.0), 0, "lift"), line(0.0))
    # Two steps later the older prediction has four steps left; the newer one says 1 more about each.
    mean = average.add(line(1.0, first=2.0), 2 * STEP_NS, "lift")
    expected = line(1.0, first=2.0)
    expected[:4, 0] -= 0.5
    assert np.allclose(mean, expected)


def test_the_grippers_column_is_the_newest_alone_and_what_was_given_is_not_written_to():
    average = OverlapAverage(0.9, STEP_NS, MASK)
    average.add(line(0.0), 0, "lift")
    given = line(5.0)
    mean = average.add(given, 0, "lift")
    assert np.array_equal(given, line(5.0))
    assert np.array_equal(mean[:, 1], given[:, 1])
    assert np.allclose(mean[:, 0], line(0.5)[:, 0])


def test_between_two_steps_the_older_curve_counts():
    average = OverlapAverage(0.5, STEP_NS, MASK)
    average.add(line(0.0), 0, "lift")
    # Half a step later the older line, read in between, says the same as this one.
    given = line(0.5)
    assert np.allclose(average.add(given, STEP_NS // 2, "lift"), given)


def test_the_mean_of_many_noisy_predictions_has_less_noise():
    random, average = np.random.default_rng(0), OverlapAverage(0.7, STEP_NS, MASK)
    means = []
    for number in range(400):
        given = line(0.0, first=number) + random.normal(0.0, 1.0, (6, 2))
        means.append(average.add(given, number * STEP_NS, "lift")[0] - number)
    spread = np.std(means[20:], axis=0)
    assert spread[0] < 0.65
    assert spread[1] > 0.9


@pytest.mark.parametrize(
    ("weight", "after_steps", "instruction"), [(0.0, 1, "lift"), (0.9, 1, "pour"), (0.9, 7, "lift")]
)
def test_without_weight_or_overlap_or_with_other_words_the_newest_stands(weight, after_steps, instruction):
    average = OverlapAverage(weight, STEP_NS, MASK)
    average.add(line(0.0), 0, "lift")
    given = line(9.0)
    assert np.array_equal(average.add(given, after_steps * STEP_NS, instruction), given)
    # And what comes back in time after it is averaged with it alone.
    again = average.add(line(9.0), after_steps * STEP_NS, instruction)
    assert np.allclose(again, line(9.0))
