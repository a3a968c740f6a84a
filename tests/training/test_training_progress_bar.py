"""Progress where there is no terminal: a line now and then, with the time that is left."""

import time

import pytest

from svam_train.training import progress_bar as bars


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_lines_come_now_and_then_and_tell_the_time_left(clock, capsys, monkeypatch):
    monkeypatch.setattr(bars, "_PLAIN_LINE_EVERY_S", 20.0)
    with bars.progress_bar(total=100, done=40) as bar:
        for _ in range(5):
            clock[0] += 10.0
            bar.show("loss 1")
    # Five of the sixty steps that were left took 50 s; what was done before says nothing about the pace.
    assert capsys.readouterr().err.splitlines() == ["43/100  0:09:30 left  loss 1"]


def test_the_end_gets_a_line(clock, capsys):
    with bars.progress_bar(total=2) as bar:
        bar.show("loss 2")
        bar.show("loss 1")
    assert capsys.readouterr().err.splitlines() == ["2/2  0:00:00 left  loss 1"]
