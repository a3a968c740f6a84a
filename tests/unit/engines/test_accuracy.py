"""The shorter formats stay inside the table, and the table is read as it says."""

import math

import pytest
import torch

from benchmarks import precision
from svam_ros.engines.accuracy import (
    AT_PUBLISHED_WIDTHS,
    AT_SMALL_WIDTHS,
    OUTPUTS,
    allowed_deviation,
    exceeded,
    relative_rms,
)
from svam_ros.networks.presets import PRESETS


def test_both_formats_deviate_at_small_width_and_stay_inside_the_table(monkeypatch):
    comparisons = precision.compare(precision.Options(preset="tiny", threads=1))
    limits = allowed_deviation(PRESETS["tiny"])
    assert comparisons.keys() == limits.keys() - {"float32", "int8"}
    for name, item in comparisons.items():
        assert exceeded(limits, name, item.end_to_end) == []
        for deviations in (item.end_to_end, item.by_itself):
            assert deviations.keys() == set(OUTPUTS)
            assert min(deviations.values()) > 1e-5  # below that, nothing was computed in the format
    coarse, fine = comparisons["bfloat16"].end_to_end, comparisons["float16"].end_to_end
    assert all(coarse[output] > 3 * fine[output] for output in OUTPUTS)


@pytest.mark.parametrize(("factor", "count"), [(0.99, 0), (1.01, 1), (math.nan, 1)])
@pytest.mark.parametrize("limits", [AT_PUBLISHED_WIDTHS, AT_SMALL_WIDTHS])
def test_a_deviation_beyond_the_table_is_named(limits, factor, count):
    for name, allowed in limits.items():
        deviations = {**dict.fromkeys(OUTPUTS, 0.0), "actions": factor * allowed["actions"]}
        sentences = exceeded(limits, name, deviations)
        assert len(sentences) == count
        assert all(f"actions in {name} deviates by" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("preset", "limits"),
    [("calvin", AT_PUBLISHED_WIDTHS), ("cobot", AT_PUBLISHED_WIDTHS), ("tiny", AT_SMALL_WIDTHS)],
)
def test_published_widths_are_held_to_more_than_small_ones(preset, limits):
    assert allowed_deviation(PRESETS[preset]) is limits
    for name, allowed in AT_SMALL_WIDTHS.items():
        assert allowed.keys() == AT_PUBLISHED_WIDTHS[name].keys() == set(OUTPUTS)
        assert all(AT_PUBLISHED_WIDTHS[name][output] <= limit for output, limit in allowed.items())
        assert AT_PUBLISHED_WIDTHS[name] != allowed or name == "float32"


def test_the_deviation_is_relative_to_the_reference():
    reference = torch.tensor([3.0, 4.0])
    assert relative_rms(reference * 1.01, reference) == pytest.approx(0.01, rel=1e-4)
    with pytest.raises(ValueError, match=r"shapes differ: \(1,\) against \(2,\)"):
        relative_rms(torch.ones(1), reference)
    with pytest.raises(ValueError, match="zero everywhere"):
        relative_rms(reference, torch.zeros(2))


def test_the_page_shows_every_figure_beside_what_is_allowed():
    deviations = dict.fromkeys(OUTPUTS, 1.2e-3)
    item = precision.Comparison(deviations, deviations, 1.0)
    page = precision.markdown(precision.Options(), {"float16": item})
    assert "| context tokens | 1.2e-03 | 1.2e-03 | 3e-03 |" in page
    assert "benchmarks.precision --preset cobot --device cpu" in page
