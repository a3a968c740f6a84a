"""A call into a library that is deaf to Ctrl-C: its effects, its errors, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from svam_ros.engines.exported.killable_process import ProcessDied, run_killable

_INTERRUPTED = """
import sys
from pathlib import Path
from svam_ros.cli.interrupts import interrupted_once
from svam_ros.engines.exported.killable_process import run_killable
sys.path.insert(0, {folder!r})
from test_killable_process import deaf

if __name__ == "__main__":
    try:
        with interrupted_once():
            run_killable(deaf, Path({file!r}))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def write_text(path: Path, text: str) -> None:
    path.write_text(text)


def refuse(text: str) -> None:
    raise ValueError(text)


def end_with(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(code: int) -> None:
    os._exit(code)


def deaf(path: Path) -> None:
    """Compiles for a minute."""
    path.write_text(str(os.getpid()))
    time.sleep(60.0)


def test_what_it_did_is_there_and_what_it_raised_is_raised_here(tmp_path):
    run_killable(write_text, tmp_path / "engine", "compiled")
    assert (tmp_path / "engine").read_text() == "compiled"
    with pytest.raises(ValueError, match="layer 7 cannot be compiled"):
        run_killable(refuse, "layer 7 cannot be compiled")


def test_a_process_that_dies_is_no_success_and_the_signal_is_named():
    with pytest.raises(ProcessDied, match="SIGKILL, as the system does where memory is short"):
        run_killable(end_with, signal.SIGKILL)
    with pytest.raises(ProcessDied, match="SIGSEGV"):
        run_killable(end_with, signal.SIGSEGV)
    with pytest.raises(ProcessDied, match="exit code 3 and without an answer"):
        run_killable(leave, 3)


def test_ctrl_c_ends_the_call_at_once(tmp_path):
    """The terminal sends it to both processes."""
    file = tmp_path / "pid"
    program = tmp_path / "program.py"
    program.write_text(_INTERRUPTED.format(folder=str(Path(__file__).parent), file=str(file)))
    process = subprocess.Popen([sys.executable, str(program)], start_new_session=True)
    try:
        while not (file.exists() and file.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=20.0) == 130
    finally:
        process.kill()
    assert not psutil.pid_exists(int(file.read_text()))
