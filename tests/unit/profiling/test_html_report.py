"""The page: complete, self-contained, harmless, and right where it draws numbers."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from support.demo_records import demo_record

from svam_ros.profiling.demo_record import ArmTraces, JointTrace
from svam_ros.profiling.html_report import render_html_report, write_html_report
from svam_ros.profiling.html_report.axes import Axis, line_path, nice_step, padded_axis
from svam_ros.profiling.html_report.joint_panels import arm_panels
from svam_ros.profiling.html_report.latency_panels import budget_chart, stage_rows, timeline_chart
from svam_ros.profiling.latency_histogram import summarize

VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Collects what the tests ask for and checks that elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.classes: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "data", "action", "poster"}:
                self.references.append(value)
            if name == "class":
                self.classes += value.split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def record():
    return demo_record()


@pytest.fixture(scope="module")
def text(record):
    return render_html_report(record)


def test_the_page_is_well_formed_and_refers_to_nothing_outside_itself(text):
    page = Page(text)
    assert page.open == []
    assert page.references
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", text)


def test_everything_promised_is_on_it(text, record):
    page = Page(text)
    assert page.classes.count("joint") == 14
    assert page.classes.count("still") == len(record.stills) == 32
    assert page.classes.count("tile") == 8
    for figure in ("231.0", "40.1", "36.5", "307.6", "budget 320 ms", "24.9", "2 / 3", "eager", "2.13.0+cpu"):
        assert figure in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_it_says_why_this_episode_is_shown_and_how_often_the_task_was_done(record):
    failed = tuple(replace(episode, success=False) for episode in record.report.episodes)
    shown = render_html_report(record)
    assert "(the first that succeeded)" in shown
    total = replace(record.report.stages_ms["total"], p99=200.0)
    in_time = replace(record.report, stages_ms={**record.report.stages_ms, "total": total})
    assert "the task succeeded in 2 of 3 episodes" in render_html_report(replace(record, report=in_time))
    none = render_html_report(replace(record, report=replace(record.report, episodes=failed)))
    assert "(none succeeded)" in none
    assert "2.0 B parameters, RTX 3090" in none


def test_an_episode_that_the_guard_ended_says_why(record):
    first, *others = record.report.episodes
    stopped = replace(first, success=False, stopped="an arm does not go where it is told: <left_joint3>")
    text = render_html_report(replace(record, report=replace(record.report, episodes=(stopped, *others))))
    assert "the guard stopped the arms: an arm does not go where it is told: &lt;left_joint3&gt;" in text


def test_names_from_outside_cannot_become_markup(record):
    evil = "</script><script>alert(1)</script><img src=http://x>"
    text = render_html_report(
        replace(record, instruction=evil, report=replace(record.report, model=evil, versions={evil: evil}))
    )
    assert Page(text).tags.count("script") == 2
    assert "<script>alert" not in text


def test_a_run_that_measured_nothing_still_has_a_page(record):
    nothing = JointTrace(np.zeros(0), np.zeros((0, 7)))
    empty = replace(
        record,
        stills=(),
        chunks=(),
        timings=(),
        duration_s=0.0,
        arms={arm: ArmTraces(nothing, nothing) for arm in ("left", "right")},
        report=replace(record.report, episodes=(), stages_ms={}, observation_age_ms=summarize([])),
    )
    text = render_html_report(empty)
    assert Page(text).open == []
    assert "No episode was run" in text


def test_the_page_is_written_whole(tmp_path, record, text):
    write_html_report(record, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_bars_lie_end_to_end_on_the_common_axis(record):
    chart = budget_chart({"This run": record.report.stages_ms})
    run, paper = chart.bars
    for before, after in zip(run.segments, run.segments[1:], strict=False):
        assert after.start == pytest.approx(before.start + before.width)
    assert paper.segments[0].width / chart.budget == pytest.approx(231.0 / 320.0)
    assert chart.marks[-1].percent / chart.budget == pytest.approx(307.6 / 320.0)
    total = record.report.stages_ms["total"]
    assert run.whisker[1] / chart.budget == pytest.approx(total.p95 / 320.0)


def test_stage_rows_share_one_scale(record):
    rows = {row.stage: row for row in stage_rows(record.report.stages_ms)}
    assert rows["total"].bar / rows["backbone"].bar == pytest.approx(
        record.report.stages_ms["total"].p50 / record.report.stages_ms["backbone"].p50
    )
    assert max(row.extreme for row in rows.values()) == pytest.approx(100.0)


def test_late_chunks_are_marked_above_the_budget(record):
    chart = timeline_chart(record)
    assert len(chart.late) == record.report.deadline_misses == 2
    assert all(dot.y > chart.budget for dot in chart.late)
    assert len(chart.dots) == len(record.timings)
    assert chart.in_time.count("M") == len(record.timings) - 2


def test_a_budget_far_above_all_chunks_does_not_flatten_them():
    chart = timeline_chart(demo_record(speed=10))
    assert chart.budget is None
    assert max(dot.y for dot in chart.dots) > 80


def test_each_joint_is_drawn_where_it_was(record):
    panel = arm_panels(record)[1].joints[1]
    values = [float(v) for v in re.findall(r"[\d.]+ ([\d.]+)", panel.measured)]
    measured = record.arms["right"].measured.positions[:, 1]
    highest = np.argmin(values) / len(values)
    assert highest == pytest.approx(np.argmax(measured) / len(measured), abs=0.05)
    assert panel.even_chunks.count("M") + panel.odd_chunks.count("M") == len(record.chunks)
    assert panel.measured_readout[0] == pytest.approx(measured[0], abs=1e-3)


def test_grippers_are_shown_in_millimetres(record):
    gripper = arm_panels(record)[0].joints[6]
    assert (gripper.name, gripper.unit) == ("gripper", "mm")
    assert gripper.measured_readout[0] == pytest.approx(60.0, abs=0.5)


def test_a_joint_at_rest_does_not_look_as_if_it_moved():
    axis = padded_axis(0.3 + 1e-4 * np.arange(5), min_span=0.1)
    assert axis.high - axis.low >= 0.1


@pytest.mark.parametrize(("rough", "step"), [(0.011, 0.02), (1.0, 1.0), (3.1, 5.0), (6.0, 10.0)])
def test_steps_are_round_numbers(rough, step):
    assert nice_step(rough) == pytest.approx(step)


def test_ticks_and_paths():
    assert [tick.text for tick in Axis(-0.06, 0.31).ticks(4)] == ["0.0", "0.1", "0.2", "0.3"]
    assert Axis(0, 50).ticks(5)[2].percent == pytest.approx(40.0)
    assert line_path(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == "M0.0 100.00L1000.0 0.00"
    assert line_path(np.linspace(0, 1, 5000), np.zeros(5000)).count("L") == 599
    assert line_path(np.zeros(0), np.zeros(0)) == ""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_script_runs_in_a_browser(tmp_path, record):
    write_html_report(record, tmp_path / "report.html")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2500",
        "--enable-logging=stderr", "--dump-dom", (tmp_path / "report.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    assert re.search(r'data-now="time">\d+\.\d\d of 9\.6 s<', done.stdout)
    assert "mm open" in done.stdout
    assert 'class="still current"' in done.stdout
