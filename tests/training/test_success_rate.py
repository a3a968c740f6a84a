"""Rates and intervals against values from the literature and by hand."""

import pytest

from svam_train.closed_loop import Episode
from svam_train.evaluation_report import load_reports, reports_to_json, summarise
from svam_train.success_rate import SuccessRate


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(38, 40, 0.835, 0.986), (2, 40, 0.014, 0.165), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)],
)
def test_wilson_interval(successes, trials, low, high):
    assert SuccessRate(successes, trials).wilson_interval() == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (0, 0), (3, 2), (-1, 4)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="cannot be"):
        SuccessRate(successes, trials)


def test_reports_count_by_task_and_survive_their_file(tmp_path):
    episodes = [
        Episode("lift_pot", 1, True, 90),
        Episode("lift_pot", 2, False, 175),
        Episode("place_to_pot", 1, False, 225),
    ]
    reports = summarise(episodes, "model", latency_steps=3)
    assert [(r.task, r.rate.successes, r.rate.trials) for r in reports] == [
        ("lift_pot", 1, 2),
        ("place_to_pot", 0, 1),
    ]
    assert reports[0].label == "lift_pot_model_latency_120_ms_n_2"
    path = tmp_path / "reports.json"
    path.write_text(reports_to_json(reports))
    assert load_reports(path) == reports
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"reports\.json"):
        load_reports(path)
