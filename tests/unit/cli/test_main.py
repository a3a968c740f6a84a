"""The command line: quick help, one sentence for every expected error, a traceback for a mistake of ours."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest

from svam_ros.cli import main as command_line
from svam_ros.cli.interrupts import INTERRUPTS
from svam_ros.cli.main import COMMANDS, Command, main
from svam_ros.cobot import CalibrationError
from svam_ros.parameters import Range


@dataclass(frozen=True)
class Options:
    """What the command under test can be told."""

    times: Annotated[int, Range(1, 5)] = 2
    """How often."""


class RunFailedError(RuntimeError):
    """Stands for an error of ours while a command runs."""

    __module__ = "svam_ros.cli.anything"


def use(monkeypatch: pytest.MonkeyPatch, function) -> None:
    """Make ``svam try`` the only command, and let it call ``function``."""
    command = Command("try", "x:options", "x:function", "Tries.", "svam try --times 3")
    monkeypatch.setattr(command_line, "COMMANDS", (command,))
    monkeypatch.setattr(command_line, "_load", {"x:options": Options, "x:function": function}.__getitem__)


def raising(error: BaseException):
    def function(_options: Options) -> int:
        raise error

    return function


def test_help_lists_every_command_with_a_line_and_an_example(capsys):
    assert main([]) == main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert command.summary in text
        assert command.example in text


def test_every_command_that_is_listed_can_be_loaded():
    for command in COMMANDS:
        assert isinstance(command_line._load(command.options), type)
        assert callable(command_line._load(command.function))


def test_the_options_reach_the_function_and_its_exit_code_comes_back(monkeypatch):
    use(monkeypatch, lambda options: options.times)
    assert main(["try", "--times", "4"]) == 4
    assert main(["try"]) == 2


def test_an_unknown_command_is_refused_with_the_nearest_one(capsys):
    assert main(["docter"]) == 2
    assert "did you mean 'doctor'?" in capsys.readouterr().err


def test_a_number_outside_its_range_is_refused(monkeypatch, capsys):
    use(monkeypatch, lambda _options: 0)
    assert main(["try", "--times", "6"]) == 2
    assert capsys.readouterr().err.strip() == "svam try: parameter 'times' is 6, allowed is 1 to 5."


def test_an_unknown_option_is_refused(monkeypatch):
    use(monkeypatch, lambda _options: 0)
    with pytest.raises(SystemExit) as refusal:
        main(["try", "--tims", "3"])
    assert refusal.value.code == 2


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (CalibrationError("home lies outside the limits"), 2),
        (FileNotFoundError("there is no such model"), 2),
        (ModuleNotFoundError("No module named 'mujoco'"), 2),
        (RunFailedError("guard_node was killed"), 1),
    ],
)
def test_an_expected_error_is_one_sentence(monkeypatch, capsys, error, exit_code):
    use(monkeypatch, raising(error))
    assert main(["try"]) == exit_code
    assert capsys.readouterr().err == f"svam try: {error}\n"


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch):
    use(monkeypatch, raising(ValueError("operands could not be broadcast together")))
    with pytest.raises(ValueError, match="broadcast"):
        main(["try"])


def test_ctrl_c_says_that_it_stopped(monkeypatch, capsys):
    use(monkeypatch, raising(KeyboardInterrupt()))
    assert main(["try"]) == 130
    assert capsys.readouterr().err == "svam try: stopped\n"


@pytest.mark.parametrize("command", ["demo", "doctor"])
def test_a_library_from_python_path_is_blamed_with_its_place(tmp_path, command):
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise ImportError('made for another Python')")
    done = subprocess.run(
        [sys.executable, "-m", "svam_ros.cli", command],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "made for another Python" in done.stderr
    assert f"PYTHONPATH makes Python take numpy from {tmp_path / 'numpy'}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_runs_as_a_module():
    command = [sys.executable, "-m", "svam_ros.cli", "demo", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "--task {lift_pot,place_to_pot,place_to_pot_hard,pour}" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_request_to_end_is_an_interrupt_for_every_command(monkeypatch, capsys, number):
    def asked_to_end(_options: object) -> int:
        signal.raise_signal(number)
        return 0

    previous = {one: signal.getsignal(one) for one in INTERRUPTS}
    monkeypatch.setattr("svam_ros.cli.doctor.run_doctor", asked_to_end)
    try:
        assert main(["doctor"]) == 130
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
    assert "svam doctor: stopped" in capsys.readouterr().err
