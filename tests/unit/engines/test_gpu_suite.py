"""The suite for a machine with a GPU: its steps are real commands, and an end in the middle loses nothing."""

import importlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import tyro

from benchmarks import forward_soak, full_size_steps, gpu_suite, kernel_times
from benchmarks.gpu_suite import Options, Step, main, run_step, steps
from svam_ros.cli.main import COMMANDS
from svam_ros.parameters import check_options

ROOT = Path(gpu_suite.__file__).parents[1]


_PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""
_SUITE = """
import sys
from pathlib import Path
from benchmarks import gpu_suite
gpu_suite.steps = lambda _: (
    gpu_suite.Step("first", ("-c", "print(1)"), 60.0),
    gpu_suite.Step("second", ("-c", {parent!r}), 60.0),
    gpu_suite.Step("third", ("-c", "print(3)"), 60.0),
)
sys.exit(gpu_suite.main(gpu_suite.Options(out=Path({out!r}), rehearse=True)))
"""

PARSERS = {
    "benchmarks.kernel_times": kernel_times.Options,
    "benchmarks.forward_soak": forward_soak.Options,
    "benchmarks.full_size_steps": full_size_steps.Options,
}


@pytest.mark.parametrize("rehearse", [False, True])
def test_every_step_is_a_command_with_options_that_it_knows(rehearse, tmp_path):
    for step in steps(Options(out=tmp_path / "a folder", rehearse=rehearse)):
        module, *words = step.command[1:]
        if module == "pytest":
            assert words[-3:] == ["-m", "gpu", "tests"]
            continue
        if module == "svam_ros.cli":
            command = next(it for it in COMMANDS if it.name == words[0])
            name, _, attribute = command.options.partition(":")
            options_class, words = getattr(importlib.import_module(name), attribute), words[1:]
        else:
            options_class = PARSERS[module]
        options = tyro.cli(options_class, args=words)
        if options_class is not full_size_steps.Options:  # which checks itself
            check_options(options)


def test_a_step_leaves_its_log_and_its_figures(tmp_path):
    figures = tmp_path / "figures.json"
    program = f"print('working'); open({str(figures)!r}, 'w').write('{{\"p50\": 3.5}}')"
    outcome = run_step(Step("try", ("-c", program), 60.0, figures), tmp_path, 60.0)
    assert (outcome.ending, outcome.figures, outcome.last_lines) == ("done", {"p50": 3.5}, ("working",))
    assert (tmp_path / "try.log").read_text() == "working\n"


@pytest.mark.parametrize(
    ("program", "optional", "limit_s", "ending"),
    [
        ("raise SystemExit(1)", True, 60.0, "failed"),
        ("raise SystemExit(2)", False, 60.0, "failed"),
        ("raise SystemExit(2)", True, 60.0, "refused"),
        ("raise KeyboardInterrupt", False, 60.0, "failed"),
        ("import time; time.sleep(60)", False, 1.5, "out of time"),
        ("raise SystemExit(0)", False, 0.5, "not begun"),
    ],
)
def test_how_a_step_ended_is_said_and_old_figures_do_not_count(program, optional, limit_s, ending, tmp_path):
    figures = tmp_path / "figures.json"
    figures.write_text("{}")
    outcome = run_step(Step("try", ("-c", program), 60.0, figures, optional), tmp_path, limit_s)
    assert (outcome.ending, outcome.figures) == (ending, None)


@pytest.mark.slow
def test_the_file_is_there_after_every_step_and_no_time_left_is_said(tmp_path, monkeypatch, capsys):
    made = (
        Step("first", ("-c", "print(1)"), 60.0),
        Step("second", ("-c", "import time; time.sleep(60)"), 60.0),
        Step("third", ("-c", "print(3)"), 60.0),
    )
    monkeypatch.setattr(gpu_suite, "steps", lambda _options: made)
    arguments = ["--rehearse", "--seconds", "10", "--out", str(tmp_path)]
    assert main(tyro.cli(Options, args=arguments)) == 1
    written = json.loads((tmp_path / "gpu_suite.json").read_text())
    endings = {name: step["ending"] for name, step in written["steps"].items()}
    assert endings == {"first": "done", "second": "out of time", "third": "not begun"}
    assert written["rehearsal"] is True
    assert "gpu_suite.json" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_ends_the_step_with_all_that_it_started_and_keeps_what_was_done(tmp_path):
    """A file of an earlier run does not stand for this one."""
    (tmp_path / "gpu_suite.json").write_text('{"steps": {"all": "of last week"}}')
    program = _SUITE.format(parent=_PARENT, out=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    log = tmp_path / "second.log"
    while not (log.exists() and log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20.0) == 130
    written = json.loads((tmp_path / "gpu_suite.json").read_text())
    assert {name: it["ending"] for name, it in written["steps"].items()} == {
        "first": "done",
        "second": "interrupted",
    }
    deadline = time.monotonic() + 5.0
    while psutil.pid_exists(int(log.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(log.read_text()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_can_be_done(tmp_path):
    script = [str(ROOT / "benchmarks" / "gpu_suite.sh"), "--out", str(tmp_path / "gpu")]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "needs an NVIDIA GPU" in ended.stderr
    assert "--rehearse" in ended.stderr
    assert not (tmp_path / "gpu").exists()
