"""The soak of an engine names what grows, and nothing else."""

import dataclasses

import pytest

from benchmarks.forward_soak import ALLOWED_GROWTH_MB, Options, Window, judge, main

STEADY = Window(20.0, 30.0, 700.0, 12, 15, 400_000)


def test_a_steady_run_passes_whatever_the_first_window_was():
    first = dataclasses.replace(STEADY, resident_mb=100.0, open_files=3, threads=1, python_objects=10)
    slower = dataclasses.replace(STEADY, p50_ms=40.0)
    assert judge([first, *[STEADY] * 8, slower]) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("resident_mb", 700.1 + ALLOWED_GROWTH_MB, "memory grew by 2.1 MB"),
        ("open_files", 13, "1 more open files"),
        ("threads", 16, "1 more threads"),
        ("python_objects", 400_100, "100 more python objects"),
    ],
)
def test_what_grew_is_named(name, value, words):
    last = dataclasses.replace(STEADY, **{name: value})
    assert judge([STEADY] * 9 + [last]) == [words]


@pytest.mark.slow
def test_it_runs_real_passes(capsys):
    main(Options(engine="eager", passes=10))
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 12
    assert rows[-1].startswith("| 10 | ")
