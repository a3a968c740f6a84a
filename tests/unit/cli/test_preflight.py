"""What is missing is said before anything starts."""

import os
import subprocess
import sys

import pytest

from svam_ros.bringup.system_checks import CheckResult
from svam_ros.cli import preflight
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.cli.preflight import CannotRunHere, check_before_start
from svam_ros.parameters import ParameterError

SCRIPTED = DemoOptions(engine="scripted", model="motion=sine")
GOOD = CheckResult("rendering", "ok", "draws")


@pytest.fixture(autouse=True)
def draws(monkeypatch):
    monkeypatch.setattr(preflight, "check_rendering", lambda: GOOD)


def test_the_name_is_that_of_what_runs_not_of_the_option():
    assert check_before_start(DemoOptions(engine="scripted")) == "scripted hold"
    assert check_before_start(SCRIPTED) == "scripted sine"
    assert check_before_start(DemoOptions()) == "tiny"


def test_a_motion_that_the_scripted_engine_does_not_know_is_refused():
    with pytest.raises(ParameterError, match=r"motion='dance', allowed is"):
        check_before_start(DemoOptions(engine="scripted", model="motion=dance"))


@pytest.mark.parametrize("check", ["check_rendering", "check_shared_memory"])
def test_a_check_that_fails_refuses_with_its_remedy(monkeypatch, check):
    monkeypatch.setattr(preflight, check, lambda: CheckResult("ground", "fail", "is gone", "swim"))
    with pytest.raises(CannotRunHere, match=r"ground: is gone\. What to do: swim"):
        check_before_start(SCRIPTED)


def test_without_egl_the_demo_names_the_package_to_install_and_starts_nothing(tmp_path):
    """A libEGL that cannot be loaded stands where the real one is looked for first."""
    (tmp_path / "libEGL.so.1").write_text("not a library")
    environment = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    command = [sys.executable, "-m", "svam_ros.cli", "demo", "--engine", "scripted", "--headless"]
    done = subprocess.run(
        [*command, "--report", str(tmp_path / "report")],
        env={**environment, "LD_LIBRARY_PATH": f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no EGL library to draw with" in done.stderr
    assert "sudo apt-get install libegl1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()
