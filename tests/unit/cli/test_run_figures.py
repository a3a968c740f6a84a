from __future__ import annotations

import pytest

from svam_ros.cli.run_figures import MotionCounters, RunFigures
from svam_ros.profiling.motion_audit import MotionAudit
from svam_ros.profiling.run_report import EpisodeResult

AUDIT = MotionAudit(0.5, 0.9, 0.0, None, 0, 0, 100)


def timing(total: float) -> dict[str, str]:
    return {"backbone": "30.0", "total": str(total), "observation_age_ms": "50.0", "run_id": "a"}


def test_the_rate_is_fresh_steps_over_the_time_in_which_the_arms_should_have_moved():
    figures = RunFigures()
    figures.add_timing(timing(1.0))
    figures.record(True)
    for total in (100.0, 330.0):
        figures.add_timing(timing(total))
    figures.record(False)
    figures.add_timing(timing(1.0))
    before = MotionCounters(1000, 50, 3, 90.0)
    after = MotionCounters.read(
        {"steps_executed": "1240", "steps_stalled": "60", "chunks_late": "4", "active_s": "100.0"}
    )
    figures.add_episode(EpisodeResult("lift_pot", 1, True, 240), after.since(before), AUDIT)
    report = figures.report("tiny", "eager")
    assert report.effective_hz == pytest.approx(24.0)
    assert report.stall_ratio == pytest.approx(10 / 250)
    assert report.chunks == 2
    assert report.deadline_misses == 2
    assert report.stages_ms["total"].max == 330.0
    assert report.stages_ms["decouplers"].n == 0
    assert report.limits.max_acceleration_ratio == 0.9


def test_a_run_without_motion_reports_zeros_not_a_division_error():
    report = RunFigures().report("tiny", "eager")
    assert (report.effective_hz, report.stall_ratio, report.chunks) == (0.0, 0.0, 0)
    assert report.limits.max_velocity_ratio is None


def test_recent_medians_are_for_the_live_line():
    figures = RunFigures()
    for total in (10.0, 20.0, 90.0):
        figures.add_timing(timing(total))
    assert figures.recent_stages_ms() == {"backbone": 30.0, "total": 20.0}
