"""The suite for a machine with a GPU: its steps are real commands, and an end in the middle loses nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_suite
from benchmarks.gpu_suite import Options, Step, command_line, run_step, steps

ROOT = Path(gpu_suite.__file__).parents[1]


def test_every_step_is_a_command_that_knows_its_options(tmp_path):
    """Each one's own parser reads them: with --help behind them it says so, and runs nothing."""
    for step in steps(Options(out=tmp_path)):
        if step.name == "tests":
            continue
        asked = [sys.executable, *step.command, "--help"]
        shown = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, (step.name, shown.stdout, shown.stderr)


def test_a_step_leaves_its_log_and_its_figures(tmp_path):
    figures = tmp_path / "figures.json"
    program = f"print('working'); open({str(figures)!r}, 'w').write('{{\"p50\": 3.5}}')"
    outcome = run_step(Step("try", ("-c", program), 60.0, figures), tmp_path, 60.0)
    assert (outcome.ending, outcome.figures, outcome.last_lines) == ("done", {"p50": 3.5}, ("working",))
    assert (tmp_path / "try.log").read_text() == "working\n"


@pytest.mark.parametrize(
    ("program", "limit_s", "ending"),
    [
        ("raise SystemExit(1)", 60.0, "failed"),
        ("raise SystemExit(2)", 60.0, "refused"),
        ("import time; time.sleep(60)", 1.5, "out of time"),
        ("raise SystemExit(0)", 0.5, "not begun"),
    ],
)
def test_how_a_step_ended_is_said_and_old_figures_do_not_count(program, limit_s, ending, tmp_path):
    figures = tmp_path / "figures.json"
    figures.write_text("{}")
    outcome = run_step(Step("try", ("-c", program), 60.0, figures), tmp_path, limit_s)
    assert (outcome.ending, outcome.figures) == (ending, None)


def test_the_file_is_there_after_every_step_and_no_time_left_is_said(tmp_path, monkeypatch, capsys):
    made = (
        Step("first", ("-c", "print(1)"), 60.0),
        Step("second", ("-c", "import time; time.sleep(60)"), 60.0),
        Step("third", ("-c", "print(3)"), 60.0),
    )
    monkeypatch.setattr(gpu_suite, "steps", lambda _options: made)
    arguments = ["--rehearse", "--seconds", "10", "--out", str(tmp_path)]
    assert command_line(arguments) == 1
    written = json.loads((tmp_path / "gpu_suite.json").read_text())
    endings = {name: step["ending"] for name, step in written["steps"].items()}
    assert endings == {"first": "done", "second": "out of time", "third": "not begun"}
    assert written["rehearsal"] is True
    assert "gpu_suite.json" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_can_be_done(tmp_path):
    script = [str(ROOT / "benchmarks" / "gpu_suite.sh"), "--out", str(tmp_path / "gpu")]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "needs an NVIDIA GPU" in ended.stderr
    assert "--rehearse" in ended.stderr
    assert not (tmp_path / "gpu").exists()
