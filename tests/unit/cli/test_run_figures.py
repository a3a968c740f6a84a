from __future__ import annotations

import pytest

from svam_ros.cli.run_figures import MotionCounters, RunFigures
from svam_ros.profiling.motion_audit import MotionAudit
from svam_ros.profiling.run_report import EpisodeResult

AUDIT = MotionAudit(
    max_velocity_ratio=0.5,
    max_acceleration_ratio=0.9,
    max_jerk_ratio=0.8,
    max_limit_excess=0.001,
    max_break_ratio=0.1,
    breaks=2,
    non_finite=0,
    set_points=100,
)


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
    before = MotionCounters(1000, 50, 3, 5, 90.0, 4000, 10)
    after = MotionCounters.read(
        {
            "steps_executed": "1240",
            "steps_stalled": "60",
            "chunks_late": "4",
            "messages_rejected": "7",
            "active_s": "100.0",
            "ticks_followed": "5000",
            "ticks_limited": "35",
        }
    )
    result = EpisodeResult("lift_pot", 1, True, 240)
    figures.add_episode(result, after.since(before), AUDIT, malformed=6, dropped=11)
    report = figures.report("tiny", "eager")
    assert report.effective_hz == pytest.approx(24.0)
    assert report.stall_ratio == pytest.approx(10 / 250)
    assert report.guard_activity == pytest.approx(25 / 1000)
    assert report.chunks == 2
    assert (report.deadline_misses, report.chunks_late) == (1, 1)
    assert (report.messages.dropped, report.messages.rejected) == (11, 2)
    assert (report.limits.malformed, report.limits.breaks, report.limits.max_jerk_ratio) == (6, 2, 0.8)
    assert (report.limits.max_limit_excess, report.limits.max_break_ratio) == (0.001, 0.1)
    assert report.stages_ms["total"].max == 330.0
    assert report.stages_ms["decouplers"].n == 0
    assert report.limits.max_acceleration_ratio == 0.9


def test_a_late_chunk_is_one_miss_however_late_the_guard_finds_it():
    figures = RunFigures()
    figures.record(True)
    figures.add_timing(timing(900.0))
    figures.record(False)
    result = EpisodeResult("lift_pot", 1, False, 10)
    figures.add_episode(result, MotionCounters(chunks_late=1), AUDIT, malformed=0, dropped=0)
    report = figures.report("tiny", "eager")
    assert (report.chunks, report.deadline_misses, report.chunks_late) == (1, 1, 1)


def test_an_interrupted_episode_is_in_no_figure():
    figures = RunFigures()
    result = EpisodeResult("lift_pot", 1, True, 10)
    for number, total in enumerate((100.0, 200.0)):
        figures.record(True)
        figures.add_timing(timing(total))
        assert figures.chunks() == number + 1, "whoever waits for chunks sees them at once"
        figures.record(False)
        if total == 100.0:
            figures.add_episode(result, MotionCounters(), AUDIT, malformed=0, dropped=0)
    report = figures.report("tiny", "eager")
    assert report.chunks == report.stages_ms["total"].n == report.observation_age_ms.n == 1
    assert report.stages_ms["total"].max == 100.0


def test_a_run_without_motion_reports_zeros_not_a_division_error():
    report = RunFigures().report("tiny", "eager")
    assert (report.effective_hz, report.stall_ratio, report.chunks) == (0.0, 0.0, 0)
    assert report.limits.max_velocity_ratio is None


def test_recent_medians_are_for_the_live_line():
    figures = RunFigures()
    for total in (10.0, 20.0, 90.0):
        figures.add_timing(timing(total))
    assert figures.recent_stages_ms() == {"backbone": 30.0, "total": 20.0}
