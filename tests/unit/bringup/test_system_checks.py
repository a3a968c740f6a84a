"""Each check tells a machine that works from one that does not, and says what to do."""

import socket

import pytest

from svam_ros.bringup import system_checks
from svam_ros.bringup.ros_environment import claim_domain_id
from svam_ros.bringup.system_checks import (
    MEBIBYTE,
    ProbeError,
    check_discovery,
    check_domain,
    check_python,
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
    ("range_name", "status"), [("", "ok"), ("LOCALHOST", "ok"), ("SUBNET", "note"), ("OFF", "fail")]
)
def test_discovery_range(range_name, status):
    assert check_discovery({"ROS_AUTOMATIC_DISCOVERY_RANGE": range_name}).status == status


def test_a_small_shared_memory_is_refused_with_what_to_do_in_a_container():
    result = check_shared_memory(free_bytes=64 * MEBIBYTE)
    assert result.status == "fail"
    assert "--shm-size" in result.fix


def test_what_killed_nodes_left_is_noted(monkeypatch, tmp_path):
    monkeypatch.setattr(system_checks, "abandoned_segments", lambda: {tmp_path / "a", tmp_path / "b"})
    result = check_shared_memory(free_bytes=1024 * MEBIBYTE)
    assert result.status == "note"
    assert "2 files left by killed nodes" in result.text
    monkeypatch.setattr(system_checks, "abandoned_segments", set)
    assert check_shared_memory(free_bytes=1024 * MEBIBYTE).status == "ok"


def test_a_domain_that_others_use_is_noted_and_a_wrong_one_refused():
    with claim_domain_id({}) as free, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("127.0.0.1", 7410 + 250 * free))
        assert check_domain({"ROS_DOMAIN_ID": str(free)}).status == "note"
    assert check_domain({"ROS_DOMAIN_ID": "1000"}).status == "fail"
    assert check_domain({}).status == "ok"


@pytest.mark.parametrize(
    ("segment_bytes", "middleware", "status"),
    [
        (35_127_840, "rmw_fastrtps_cpp", "ok"),
        (549_408, "rmw_fastrtps_cpp", "fail"),
        (0, "rmw_fastrtps_cpp", "fail"),
        (0, "rmw_cyclonedds_cpp", "note"),
    ],
)
def test_fast_dds_is_judged_by_the_segment_that_a_real_node_got(segment_bytes, middleware, status):
    probe = {"segment_bytes": segment_bytes, "middleware": middleware}
    assert judge_fast_dds(probe, "/etc/dds.xml").status == status


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
