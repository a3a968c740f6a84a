"""`svam doctor`: every check is reported, in order, and the exit code says whether the demo can run."""

import json
import os
import subprocess
import sys
import threading

import pytest

from svam_ros.bringup.system_checks import CheckResult
from svam_ros.cli import doctor
from svam_ros.cli.doctor import DoctorOptions, check_arms, check_model, run_checks, run_doctor
from svam_ros.drivers import piper_interface

GOOD = CheckResult("ground", "ok", "firm")
WORTH_KNOWING = CheckResult("weather", "note", "rain", "take an umbrella")
BROKEN = CheckResult("bridge", "fail", "is gone", "swim")


def answer_with(monkeypatch: pytest.MonkeyPatch, *results: CheckResult) -> None:
    monkeypatch.setattr(doctor, "run_checks", lambda _checks: list(results))


def test_notes_do_not_fail(monkeypatch, capsys):
    answer_with(monkeypatch, GOOD, WORTH_KNOWING)
    assert run_doctor(DoctorOptions()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["OK", "ground", "firm"]
    assert lines[2].strip() == "-> take an umbrella"
    assert "can run here" in lines[-1]


def test_a_failed_check_fails_and_is_named(monkeypatch, capsys):
    answer_with(monkeypatch, GOOD, BROKEN)
    assert run_doctor(DoctorOptions()) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["FAIL", "bridge", "is", "gone"]
    assert lines[-1] == "The demo cannot run here: see bridge."


def test_json_says_the_same(monkeypatch, capsys):
    answer_with(monkeypatch, GOOD, BROKEN)
    assert run_doctor(DoctorOptions(json=True)) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["checks"][1] == {"name": "bridge", "status": "fail", "text": "is gone", "fix": "swim"}


def test_checks_run_side_by_side_and_answer_in_order():
    both_run = threading.Barrier(2, timeout=20)

    def waits(result):
        both_run.wait()
        return result

    answers = run_checks([lambda: waits(GOOD), lambda: waits((WORTH_KNOWING, BROKEN))])
    assert answers == [GOOD, WORTH_KNOWING, BROKEN]


def test_a_model_that_is_not_there_is_said(tmp_path):
    result = check_model(str(tmp_path / "nowhere"))
    assert result.status == "fail"
    assert "nowhere" in result.text


@pytest.mark.slow
def test_the_real_doctor_on_this_machine():
    command = [sys.executable, "-m", "svam_ros.cli", "doctor", "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROS_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    report = json.loads(done.stdout)
    status = {check["name"]: check["status"] for check in report["checks"]}
    assert {"python", "torch", "gpu", "tensorrt", "ros", "fast dds", "rendering"} <= set(status)
    assert {"shared memory", "discovery", "domain", "model"} <= set(status)
    for needed in ("python", "torch", "ros", "fast dds", "rendering", "discovery", "domain"):
        assert status[needed] == "ok", report
    assert done.returncode == (0 if report["ok"] else 1)


def test_arms_on_can_have_their_sdk_and_interfaces_looked_at_and_others_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(piper_interface, "NETWORK_INTERFACES", tmp_path)
    (tmp_path / "can_left").mkdir()
    (tmp_path / "can_left" / "operstate").write_text("up\n")
    results = {result.name: result for result in check_arms("piper_can")}
    assert {name: result.status for name, result in results.items()} == {
        "piper_sdk": "ok",
        "left arm": "ok",
        "right arm": "note",
    }
    assert "there is no CAN interface 'can_right'" in results["right arm"].text
    assert check_arms("cobot_magic") == ()
    assert check_arms("no_such")[0].status == "note"
