"""Evaluation reports count by task, and come back from their file as they were."""

import pytest

from svam_train.evaluation.closed_loop import Episode
from svam_train.evaluation.evaluation_report import load_reports, reports_to_json, summarise
from svam_train.evaluation.loop_settings import LoopSettings


def test_reports_count_by_task_and_survive_their_file(tmp_path):
    episodes = [
        Episode("lift_pot", 1, True, 90),
        Episode("lift_pot", 2, False, 175),
        Episode("place_to_pot", 1, False, 225),
    ]
    reports = summarise(episodes, "model", LoopSettings(latency_ms=120, episode_s=9))
    assert [(r.task, r.rate.successes, r.rate.trials) for r in reports] == [
        ("lift_pot", 1, 2),
        ("place_to_pot", 0, 1),
    ]
    assert (reports[0].replan_steps, reports[0].episode_s) == (LoopSettings().replan_steps, 9)
    assert reports[0].label == "lift_pot_model_latency_120_ms_replan_4_ramp_0.2_n_2"
    path = tmp_path / "reports.json"
    path.write_text(reports_to_json(reports))
    assert load_reports(path) == reports
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"reports\.json"):
        load_reports(path)
