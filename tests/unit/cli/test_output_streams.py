"""Output whose reader is gone is dropped, and the program goes on to its own exit code."""

import os
import subprocess
import sys

import pytest
from rich.console import Console

from svam_ros.cli.output_streams import ForgivingStream, forgiving_output

WRITES_AND_GOES_ON = """
import sys
from rich.console import Console
from rich.live import Live
from svam_ros.cli.output_streams import forgiving_output
sys.stdin.readline()
with forgiving_output():
    console = Console(force_terminal=True)
    with Live(console=console, transient=True):
        for _ in range(100):
            console.print("x" * 2000)
    print("more", file=sys.stderr, flush=True)
sys.exit(7)
"""


def test_a_program_whose_reader_is_gone_ends_with_its_own_exit_code():
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES_AND_GOES_ON],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    process.stderr.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(timeout=60) == 7


def test_what_can_be_read_is_written(capsys):
    with forgiving_output():
        Console().print("to the reader")
        print("and here", file=sys.stderr)
    assert capsys.readouterr() == ("to the reader\n", "and here\n")


def test_an_error_that_is_not_the_reader_s_is_raised(tmp_path):
    with (tmp_path / "closed").open("w") as stream:
        pass
    with pytest.raises(ValueError, match="closed file"):
        ForgivingStream(stream).write("text")


def test_once_silent_it_stays_silent():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        forgiving = ForgivingStream(stream)
        assert forgiving.write("lost\n") == 5
        assert forgiving.write("lost too\n") == 9
        forgiving.flush()
