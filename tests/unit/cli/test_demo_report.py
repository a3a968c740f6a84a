"""What `svam demo` does with its report: which episode it shows, and to whom."""

import io
import webbrowser

import pytest
from rich.console import Console
from rich.text import Text

from svam_ros.cli.demo import _episode_line, _point_to_report, episode_to_show
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.profiling.run_report import EpisodeResult


def episodes(*outcomes: bool) -> tuple[EpisodeResult, ...]:
    return tuple(EpisodeResult("lift_pot", seed, success, 100) for seed, success in enumerate(outcomes))


@pytest.mark.parametrize(
    ("outcomes", "shown"), [((False, True, True), 1), ((False, False), 0), ((True, False), 0), ((False,), 0)]
)
def test_the_page_shows_the_first_episode_that_succeeded_or_the_first_of_all(outcomes, shown):
    assert episode_to_show(episodes(*outcomes)) == shown


@pytest.fixture
def opened(monkeypatch):
    pages: list[str] = []
    monkeypatch.setattr(webbrowser, "open", pages.append)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return pages


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_where_a_person_sits_at_a_screen_the_report_is_opened(monkeypatch, opened, tmp_path, variable):
    monkeypatch.setenv(variable, ":0")
    _point_to_report(DemoOptions(report=tmp_path), Console(file=io.StringIO()))
    assert opened == [(tmp_path / "report.html").as_uri()]


def test_a_missing_display_just_works_and_says_where_the_report_is(opened, tmp_path):
    out = io.StringIO()
    _point_to_report(DemoOptions(report=tmp_path), Console(file=out))
    assert opened == []
    assert str(tmp_path / "report.html") in out.getvalue()
    assert "no display here" in out.getvalue()


def test_headless_opens_nothing_even_where_there_is_a_screen(monkeypatch, opened, tmp_path):
    monkeypatch.setenv("DISPLAY", ":0")
    _point_to_report(DemoOptions(report=tmp_path, headless=True), Console(file=io.StringIO()))
    assert opened == []


def test_an_episode_that_the_guard_ended_says_why():
    stopped = EpisodeResult("lift_pot", 3, False, 20, stopped="an arm does not go where it is told [rad]")
    line = Text.from_markup(_episode_line(0, stopped)).plain
    assert line.endswith("20 steps  the guard stopped: an arm does not go where it is told [rad]")
    assert "stopped" not in _episode_line(0, EpisodeResult("lift_pot", 3, False, 20))


def test_a_poured_episode_says_how_much_was_poured():
    poured = EpisodeResult("pour", 3, False, 200, fraction=0.62)
    assert "62% poured" in _episode_line(0, poured)
    assert "poured" not in _episode_line(0, EpisodeResult("lift_pot", 3, True, 200, fraction=1.0))
