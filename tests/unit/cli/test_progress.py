"""A live line on a terminal; a line now and then where there is none."""

import io
import time

import pytest
from rich.console import Console

from svam_ros.cli import progress as progress_module
from svam_ros.cli.progress import Progress
from svam_ros.profiling.stage_table import LiveStatus


def status(elapsed_s: float) -> LiveStatus:
    return LiveStatus("moving", elapsed_s, 1, 3, 25.0, {"total": 61.0}, 0, 0)


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_are_printed_every_few_seconds_only_where_nothing_can_be_redrawn(monkeypatch, terminal):
    now_s = time.monotonic()
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now_s)
    out = io.StringIO()
    progress = Progress(Console(file=out, force_terminal=terminal, width=200))
    for tenth in range(170):
        now_s += 0.1
        progress.show(status(tenth / 10))
    assert out.getvalue().count("\n") == (0 if terminal else 3)
    assert terminal or "moving" in out.getvalue()


def test_what_is_said_stays():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    with Progress(console) as progress:
        progress.show(status(1.0))
        progress.say("episode 0")
    assert "episode 0" in out.getvalue()
    assert "moving" in out.getvalue()
