"""The benchmark compares like with like: on a small network its two sides give the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import plain_vs_ours
from benchmarks.components import COMPONENTS
from benchmarks.golden_sets.golden_config import published_sizes
from benchmarks.golden_sets.golden_set import GoldenSet
from benchmarks.plain_vs_ours import Timings, measure, table

SIZES = published_sizes(GoldenSet.open(Path(__file__).parent / "goldens" / "end_to_end"))


@pytest.mark.parametrize("name", list(COMPONENTS))
def test_both_sides_of_every_component_give_the_same(name):
    dtypes = [torch.float32, torch.bfloat16]
    timings = measure(name, SIZES, dtypes, torch.device("cpu"), repeats=2)
    assert timings.deviation["fp32"] <= 1e-5
    assert 1e-4 < timings.deviation["bf16"] < 0.2, "another type was really used"
    runs = [timings.plain_ms, *timings.ours_ms.values(), *timings.once_ms.values()]
    assert all(len(run) == 2 and min(run) > 0 for run in runs)
    assert bool(timings.ours_ms) == (name != "text"), "text is nothing that a prediction of ours needs"


def test_a_deviation_from_a_published_form_in_half_precision_is_labelled():
    exact = Timings("a", "A", [1.0], {}, {}, {"fp32": 1e-7})
    half = Timings("c", "C", [1.0], {}, {}, {"fp32": 2e-3}, "fp16")
    assert "A fp32 1.0e-07; C (against it in fp16) fp32 2.0e-03." in table([exact, half])


def test_ratios_are_of_runs_that_followed_one_another():
    entry = Timings("a", "A", [10.0, 30.0, 20.0], {"fp32": [5.0, 10.0, 10.0]}, {}, {"fp32": 1e-7})
    free = Timings("b", "B", [1.0, 1.0, 1.0], {}, {"fp32": [4.0, 4.0, 5.0]}, {"fp32": 1e-7})
    lines = table([entry, free]).splitlines()
    assert "| A | 20 | 10 | 2.00 (2.00 to 3.00) |" in lines
    assert "| B | 1 | - | - |" in lines
    assert "| total of a prediction | 21 | 10 | 2.20 (2.10 to 3.10) |" in lines
    assert "| once for each instruction | in every prediction | 4 |  |" in lines


def test_the_report_says_how_it_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plain_vs_ours, "published_sizes", lambda _network: SIZES)
    file = tmp_path / "new" / "report.json"
    plain_vs_ours.main(["--components", "action", "--repeats", "1", "--no-fast", "--json", str(file)])
    report = json.loads(file.read_text())
    assert report["machine"]["cpu"]
    assert report["components"][0]["component"] == "action"
    assert "action expert" in capsys.readouterr().out
