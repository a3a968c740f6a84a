"""An import that is ended in the middle of writing: nothing half made, and the next one cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.networks import save_random_model
from support.published_files import groups, write_without_pickles

from svam_ros.artifacts.model_directory import file_sha256
from svam_ros.artifacts.published.workspace import import_workspace

TESTS = Path(__file__).parents[3]

STOP_IN_THE_MIDDLE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.published_files import PUBLISHED
from svam_ros.artifacts import model_saving
from svam_ros.cli.main import main
from svam_ros.networks.presets import PRESETS

PRESETS["calvin"] = PUBLISHED
written = model_saving._write_texts

def stop(folder, texts):
    print("weights are written", flush=True)
    sys.stdin.readline()  # the test kills this process here, or lets it go on
    written(folder, texts)

model_saving._write_texts = stop
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("published")
    files = write_without_pickles(folder, groups())
    places = ["--unet", str(files.unet), "--action", str(files.action), "--clip", str(files.clip)]
    return ["import-published", *places, "--preset", "calvin"]


def start(arguments: list[str], out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STOP_IN_THE_MIDDLE, str(TESTS), *arguments, "--out", str(out)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "weights are written\n", process.stderr and process.stderr.read()
    return process


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind_and_the_old_model_as_it_was(arguments, tmp_path):
    old = save_random_model(tmp_path / "m").path
    before = file_sha256(old / "weights.safetensors")
    process = start(arguments, tmp_path / "m")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert file_sha256(old / "weights.safetensors") == before


@pytest.mark.slow
def test_a_killed_import_leaves_no_model_and_the_next_one_removes_what_it_left(arguments, tmp_path):
    process = start(arguments, tmp_path / "m")
    process.kill()
    process.wait(30)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".m.importing.")
    process = start(arguments, tmp_path / "m")
    assert not left.exists()
    _, complaints = process.communicate("\n\n\n", timeout=120)
    assert process.returncode == 0, complaints
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_an_import_at_work_is_not_taken_for_a_dead_one(tmp_path):
    with import_workspace(tmp_path / "m") as one, import_workspace(tmp_path / "m") as other:
        assert one.is_dir()
        assert one != other
    assert list(tmp_path.iterdir()) == []
