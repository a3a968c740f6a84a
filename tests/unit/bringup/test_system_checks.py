"""Each check tells a machine that works from one that does not, and says what to do."""

import subprocess

import pytest

from svam_ros.bringup import system_checks
from svam_ros.bringup.ros_environment import SHARED_MEMORY_PROFILE
from svam_ros.bringup.system_checks import (
    MEBIBYTE,
    ProbeError,
    check_discovery,
    check_domain,
    check_python,
    check_python_path,
    check_rendering,
    check_ros,
    check_shared_memory,
    check_torch,
    judge_fast_dds,
    run_probe,
)


def no_answer(_module, _environment=None):
    raise ProbeError("ImportError: libEGL.so.1: cannot open shared object file")


def test_python():
    assert check_python((3, 12)).status == "ok"
    assert check_python((3, 10)).status == "fail"
    assert "guard_node" in check_python((3, 10)).fix


@pytest.mark.parametrize(
    ("range_name", "status"), [("", "ok"), ("LOCALHOST", "ok"), ("SUBNET", "note"), ("OFF", "note")]
)
def test_discovery_range(range_name, status):
    assert check_discovery({"ROS_AUTOMATIC_DISCOVERY_RANGE": range_name}).status == status


def test_a_small_shared_memory_is_refused_with_what_to_do_in_a_container(monkeypatch, tmp_path):
    monkeypatch.setattr(system_checks, "abandoned_segments", lambda: {tmp_path / "a"})
    assert str(tmp_path / "a") in check_shared_memory(free_bytes=64 * MEBIBYTE).fix
    monkeypatch.setattr(system_checks, "abandoned_segments", set)
    result = check_shared_memory(free_bytes=64 * MEBIBYTE)
    assert result.status == "fail"
    assert "--shm-size" in result.fix


def test_what_killed_nodes_left_is_noted(monkeypatch, tmp_path):
    left = {tmp_path / "a", tmp_path / "b c"}
    for path in left:
        path.touch()
    monkeypatch.setattr(system_checks, "abandoned_segments", lambda: left)
    monkeypatch.setattr(system_checks, "remove_what_dead_runs_left", lambda: 3)
    result = check_shared_memory(free_bytes=1024 * MEBIBYTE)
    assert result.status == "note"
    assert "2 files that no process here uses" in result.text
    assert "3 files removed that a killed run had left" in result.text
    subprocess.run(result.fix.partition(": ")[2], shell=True, check=True)  # The remedy works as printed.
    assert not any(path.exists() for path in left)
    monkeypatch.setattr(system_checks, "abandoned_segments", set)
    assert check_shared_memory(free_bytes=1024 * MEBIBYTE).status == "ok"


def test_libraries_from_python_path_are_noted(monkeypatch):
    assert check_python_path().status == "ok"
    monkeypatch.setattr(system_checks, "shadowed_by_python_path", lambda: "PYTHONPATH makes it so")
    assert (check_python_path().status, check_python_path().text) == ("note", "PYTHONPATH makes it so")


def test_the_user_s_domain_is_told_and_does_not_keep_the_demo_from_running():
    assert check_domain({}).status == "ok"
    assert "which ignores your ROS_DOMAIN_ID 7" in check_domain({"ROS_DOMAIN_ID": "7"}).text
    wrong = check_domain({"ROS_DOMAIN_ID": "1000"})
    assert wrong.status == "note"
    assert "ROS_DOMAIN_ID is '1000'" in wrong.text
    assert "is free for the demo" in wrong.text


def test_without_a_free_domain_the_demo_is_told_to_take_a_named_one(monkeypatch):
    monkeypatch.setattr("svam_ros.bringup.ros_environment.DOMAIN_IDS", range(30, 30))
    result = check_domain({"ROS_DOMAIN_ID": "7"})
    assert result.status == "fail"
    assert "--domain-id" in result.fix


@pytest.mark.parametrize(
    ("segment_bytes", "user", "status"),
    [
        (35_127_840, {}, "ok"),
        (35_127_840, {"FASTDDS_DEFAULT_PROFILES_FILE": str(SHARED_MEMORY_PROFILE)}, "ok"),
        (549_408, {}, "fail"),
        (0, {}, "fail"),
        (35_127_840, {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, "note"),
        (35_127_840, {"FASTDDS_DEFAULT_PROFILES_FILE": "/etc/dds.xml"}, "note"),
    ],
)
def test_fast_dds_is_judged_by_the_segment_that_a_real_node_got(segment_bytes, user, status):
    assert judge_fast_dds(segment_bytes, user).status == status


@pytest.mark.parametrize(
    ("check", "words"),
    [(check_torch, "pip install"), (check_ros, "/opt/ros"), (check_rendering, "apt-get install")],
)
def test_without_the_library_the_check_fails_with_the_error_and_what_to_install(monkeypatch, check, words):
    monkeypatch.setattr(system_checks, "run_probe", no_answer)
    answer = check()
    result = answer[0] if isinstance(answer, tuple) else answer
    assert result.status == "fail"
    assert "libEGL" in result.text
    assert words in result.fix


def test_without_mujoco_rendering_says_what_pip_installs(monkeypatch):
    def no_mujoco(_module):
        raise ProbeError("ModuleNotFoundError: No module named 'mujoco'")

    monkeypatch.setattr(system_checks, "run_probe", no_mujoco)
    assert "svam_ros[sim]" in check_rendering().fix


def test_a_probe_that_fails_ends_with_its_own_last_words():
    with pytest.raises(ProbeError, match=r"No module named svam_ros\.nowhere"):
        run_probe("svam_ros.nowhere")


def test_rendering_switched_off_is_found():
    with pytest.raises(ProbeError):
        run_probe("svam_ros.simulation.rendering_probe", {"MUJOCO_GL": "disable"})
