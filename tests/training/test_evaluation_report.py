"""Evaluation reports count by task, and come back from their file as they were."""

import pytest
from rich.console import Console

from svam_train.evaluation.closed_loop import Attempt
from svam_train.evaluation.evaluation_report import (
    Subject,
    load_reports,
    reports_to_json,
    result_table,
    summarise,
)
from svam_train.evaluation.loop_settings import LoopSettings

ATTEMPTS = [
    Attempt("pour", 1, True, 90, 1.0),
    Attempt("pour", 2, False, 175, 0.25),
    Attempt("place_to_pot", 1, False, 225, 0.0),
]
SUBJECT = Subject("models/tiny", "eager", "model", LoopSettings(latency_ms=120, episode_s=9))


def test_reports_count_by_task_and_survive_their_file(tmp_path):
    reports = summarise(ATTEMPTS, SUBJECT)
    assert [(r.task, r.rate.successes, r.rate.trials) for r in reports] == [
        ("pour", 1, 2),
        ("place_to_pot", 0, 1),
    ]
    assert reports[0].label == "pour_model_latency_120_ms_replan_4_older_0_auto_ramp_0.2_n_2"
    path = tmp_path / "reports.json"
    path.write_text(reports_to_json(reports))
    assert load_reports(path) == reports
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"reports\.json"):
        load_reports(path)


def test_the_summary_has_the_rate_with_its_wilson_interval():
    attempts = [Attempt("pour", seed, seed < 8, 50, 1.0) for seed in range(10)]
    summary = summarise(attempts, SUBJECT)[0].summary()
    assert (summary["success_rate"], summary["episodes"]) == (0.8, 10)
    # Wilson's interval for 8 of 10
    assert summary["low"] == pytest.approx(0.4901, abs=1e-4)
    assert summary["high"] == pytest.approx(0.9433, abs=1e-4)
    assert (summary["task"], summary["model"], summary["engine"]) == ("pour", "models/tiny", "eager")
    assert summary["ros"] is False


def test_labels_tell_scenes_and_loops_apart():
    shared = Subject("m", "eager", "blind", LoopSettings(shared_scenes=True, varied_looks=True))
    nodes = Subject("m", "eager", "model", None)
    assert summarise(ATTEMPTS, shared)[0].label == (
        "pour_blind_shared_varied_latency_0_ms_replan_4_older_0_auto_ramp_0.2_n_2"
    )
    assert summarise(ATTEMPTS, nodes)[0].label == "pour_model_ros_n_2"


def test_the_table_shows_what_was_done_by_parts_and_how_fast():
    console = Console(record=True, width=120)
    console.print(result_table(summarise(ATTEMPTS, SUBJECT)))
    (row,) = [line for line in console.export_text().splitlines() if " pour " in line]
    for text in ("1/2", "50 %", "62 %", "90"):
        assert text in row
