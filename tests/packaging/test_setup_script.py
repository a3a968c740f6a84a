"""`make setup` says what the machine lacks, and how to install it, before anything is downloaded."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *print*) echo 3.12 ;;
    *version_info*) exit {right_version} ;;
    *ensurepip*) exit {has_venv} ;;
    -) exit {has_egl} ;;
    *) echo "reached: $*" >&2; exit 70 ;;
esac
"""


def set_up(folder: Path, **lacks: int) -> subprocess.CompletedProcess[str]:
    """Run the script on a machine whose only Python is a fake one that lacks what is 1."""
    answers = {"right_version": 0, "has_venv": 0, "has_egl": 0, **lacks}
    tools = folder / "bin"
    tools.mkdir()
    (tools / "python3").write_text(FAKE_PYTHON.format(**answers))
    (tools / "python3").chmod(0o755)
    (tools / "sh").symlink_to("/bin/sh")
    for tool in ("cat", "printf"):
        (tools / tool).symlink_to(f"/bin/{tool}" if Path(f"/bin/{tool}").exists() else f"/usr/bin/{tool}")
    return subprocess.run(
        [ROOT / "tools/setup.sh", folder / "venv"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tools), "PYTHON": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("lacks", "sentence", "remedy"),
    [
        ("right_version", "it needs Python 3.11, 3.12 or 3.13", "sudo apt-get install python3.11"),
        ("has_venv", "cannot make virtual environments", "sudo apt-get install python3.12-venv"),
        ("has_egl", "the simulated camera needs EGL", "sudo apt-get install libegl1 libegl-mesa0"),
    ],
)
def test_what_is_missing_is_said_with_the_command_that_installs_it(tmp_path, lacks, sentence, remedy):
    done = set_up(tmp_path, **{lacks: 1})
    assert done.returncode == 1
    assert sentence in done.stderr
    assert remedy in done.stderr
    assert "Installing" not in done.stdout
    assert not (tmp_path / "venv").exists()


def test_with_everything_there_it_goes_on_to_make_the_environment(tmp_path):
    done = set_up(tmp_path)
    assert done.returncode == 70
    assert "reached: -m venv" in done.stderr
