"""Summaries, verdicts, report.json, the terminal's table and the description of the machine."""

import io
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from support.demo_records import demo_record

from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.latency_histogram import EMPTY, summarize, summarize_stages
from svam_ros.profiling.run_report import CommandFigures, EpisodeResult, write_report_json
from svam_ros.profiling.stage_table import LiveStatus, live_line, milliseconds, run_table, stage_table
from svam_ros.profiling.stage_timer import STAGES
from svam_ros.profiling.success_rate import SuccessRate
from svam_ros.profiling.verdicts import judge


@pytest.fixture
def report():
    return demo_record().report


def test_a_summary_gives_measured_values():
    summary = summarize(range(1, 101))
    assert (summary.p50, summary.p95, summary.p99, summary.max, summary.n) == (50, 95, 99, 100, 100)


def test_with_few_samples_p99_is_the_worst_one():
    summary = summarize([10.0, 500.0, 20.0])
    assert summary.p99 == summary.max == 500.0
    assert summary.p50 == 20.0


def test_no_samples_are_no_figures():
    assert summarize([]) == EMPTY
    assert EMPTY.n == 0
    assert EMPTY.p50 is None


def test_a_broken_measurement_does_not_hide_in_a_percentile():
    with pytest.raises(ValueError, match="1 of 3"):
        summarize([1.0, math.nan, 2.0])


def test_every_stage_has_a_summary_even_if_it_never_ran():
    stages = summarize_stages([{"backbone": 1.0, "total": 3.0}, {"total": 5.0}])
    assert tuple(stages) == STAGES
    assert stages["backbone"].n == 1
    assert stages["total"].max == 5.0
    assert stages["decouplers"] == EMPTY


def test_report_json_has_the_promised_keys(tmp_path, report):
    report = replace(report, stages_ms={**report.stages_ms, "references": EMPTY})
    write_report_json(report, tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert set(read) >= {
        "effective_hz", "stall_ratio", "chunks", "deadline_misses", "observation_age_ms", "stages_ms",
        "limits", "episodes", "model", "engine", "versions", "machine",
    }  # fmt: skip
    assert set(read["stages_ms"]) == set(STAGES)
    assert all(set(row) == {"p50", "p95", "p99", "max", "n"} for row in read["stages_ms"].values())
    assert read["stages_ms"]["references"]["p50"] is None
    assert set(read["limits"]) == {
        "max_velocity_ratio", "max_acceleration_ratio", "max_jerk_ratio", "max_break_ratio",
        "max_limit_excess", "breaks", "malformed",
    }  # fmt: skip
    assert read["messages"] == {"dropped": 3, "rejected": 1}
    expected = {"task": "lift_pot", "seed": 0, "success": True, "steps": 131, "fraction": None}
    assert read["episodes"][0] == expected | {"stopped": ""}


def test_a_figure_that_is_not_finite_is_refused_and_leaves_no_file(tmp_path, report):
    with pytest.raises(ValueError, match="not finite"):
        write_report_json(replace(report, effective_hz=math.inf), tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


def holds(report) -> dict[str, bool | None]:
    return {verdict.name: verdict.holds for verdict in judge(report)}


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({"effective_hz": 24.5}, "Effective rate", True),
        ({"effective_hz": 24.4}, "Effective rate", False),
        ({"stall_ratio": 0.01}, "Stall ratio", True),
        ({"stall_ratio": 0.011}, "Stall ratio", False),
        ({"limits": CommandFigures(1.0, 0.5)}, "Peak velocity", True),
        ({"limits": CommandFigures(1.01, 0.5)}, "Peak velocity", False),
        ({"limits": CommandFigures(0.5, 1.01)}, "Peak acceleration", False),
        ({"limits": CommandFigures(None, None)}, "Peak velocity", None),
        ({"limits": CommandFigures(0.5, 0.5, max_jerk_ratio=1.0005)}, "Peak jerk", True),
        ({"limits": CommandFigures(0.5, 0.5, max_jerk_ratio=1.01)}, "Peak jerk", False),
        ({"limits": CommandFigures(0.5, 0.5)}, "Peak jerk", None),
        ({"limits": CommandFigures(0.5, 0.5)}, "Set-points", True),
        ({"limits": CommandFigures(0.5, 0.5, malformed=1)}, "Set-points", False),
        ({"limits": CommandFigures(0.5, 0.5, max_limit_excess=1e-3)}, "Set-points", False),
        ({"limits": CommandFigures(None, None)}, "Set-points", None),
        ({"stages_ms": {"total": summarize([320.0])}}, "Latency p50 / p99", True),
        ({"stages_ms": {"total": summarize([320.1])}}, "Latency p50 / p99", False),
        ({"stages_ms": {}}, "Latency p50 / p99", None),
        ({"episodes": ()}, "Success", None),
    ],
)
def test_verdicts_turn_at_their_criteria(report, change, name, expected):
    assert holds(replace(report, **change))[name] is expected


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(38, 40, 0.835, 0.986), (2, 40, 0.014, 0.165), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)],
)
def test_the_interval_of_a_success_rate_is_honest_about_few_trials(successes, trials, low, high):
    # Reference values of the Wilson score interval at 95 %.
    assert SuccessRate(successes, trials).wilson_interval() == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (0, 0), (3, 2), (-1, 4)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="cannot be"):
        SuccessRate(successes, trials)


def printed(renderable, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def test_the_table_shows_stages_paper_and_verdicts(report):
    text = printed(run_table(replace(report, episodes=(EpisodeResult("lift_pot", 0, True, 9),))))
    backbone = next(line for line in text.splitlines() if "backbone" in line).split()
    own = report.stages_ms["backbone"]
    figures = [milliseconds(value) for value in (own.p50, own.p95, own.p99, own.max)]
    assert backbone[1:] == [*figures, "45", "231.0"]
    for piece in ("307.6", "Effective rate", "24.9 Hz", "1 / 1", "chunks, 2 later"):
        assert piece in text


def test_stages_that_never_ran_are_not_in_the_table(report):
    text = printed(stage_table({**report.stages_ms, "references": EMPTY}, "title"))
    assert "references" not in text


def test_the_live_line_is_one_line_and_says_what_is_known():
    early = LiveStatus("starting", 1.2, 1, 3, None, {}, 0, 0)
    late = LiveStatus("moving", 61.0, 2, 3, 24.97, {"backbone": 26.0, "total": 331.2}, 1, 1)
    narrow = Console(file=io.StringIO(), width=60, color_system=None)
    for status in (early, late):
        assert len(narrow.render_lines(live_line(status))) == 1, "a wrapped line cannot be redrawn in place"
    text = live_line(late).plain
    for piece in ("moving", "episode 2/3", "25.0 Hz", "backbone 26 ms", "total 331 ms", "success 1/1"):
        assert piece in text


def test_the_machine_and_the_versions_are_described():
    machine = read_machine()
    assert machine.cores >= 1
    assert machine.cpu
    assert machine.os
    versions = read_versions()
    assert versions["python"] == sys.version.split()[0]
    assert versions["numpy"] == np.__version__


def test_describing_the_machine_loads_nothing_heavy():
    code = (
        "import sys; from svam_ros.profiling.environment import read_machine, read_versions; read_machine(); "
        "read_versions(); print(sorted({'torch', 'rclpy', 'numpy', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
