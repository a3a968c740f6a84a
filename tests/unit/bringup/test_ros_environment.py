"""Domains are exclusive, the user's settings win, and Fast DDS accepts the shipped profile."""

import os
import socket
import subprocess
import sys
import textwrap
from xml.etree import ElementTree

import pytest

from svam_ros.bringup.ros_environment import (
    DOMAIN_IDS,
    SHARED_MEMORY_PROFILE,
    RosEnvironmentError,
    claim_domain_id,
    domain_is_free,
    ros_environment,
)


def test_wheels_and_new_distributions_get_the_name_that_fast_dds_3_reads():
    variables = ros_environment(domain_id=None, user={})
    assert variables == {
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(SHARED_MEMORY_PROFILE),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def test_humble_and_jazzy_also_get_the_name_that_fast_dds_2_reads():
    for distribution in ("humble", "jazzy"):
        variables = ros_environment(domain_id=None, user={"ROS_DISTRO": distribution})
        assert variables["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(SHARED_MEMORY_PROFILE)


def test_what_the_user_has_set_stays():
    user = {"FASTDDS_DEFAULT_PROFILES_FILE": "/etc/dds.xml", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    variables = ros_environment(domain_id=31, user=user)
    assert variables["FASTDDS_DEFAULT_PROFILES_FILE"] == "/etc/dds.xml"
    assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert variables["ROS_DOMAIN_ID"] == "31"


def test_isolated_nothing_that_the_user_has_set_reaches_a_robot():
    user = {
        "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
        "FASTDDS_DEFAULT_PROFILES_FILE": "/etc/dds.xml",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_STATIC_PEERS": "192.0.2.1",
        "ROS_DISCOVERY_SERVER": "192.0.2.1:11811",
        "ROS_DISTRO": "jazzy",
    }
    assert {**user, **ros_environment(domain_id=31, user=user, isolated=True)} == {
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(SHARED_MEMORY_PROFILE),
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(SHARED_MEMORY_PROFILE),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_STATIC_PEERS": "",
        "ROS_DISCOVERY_SERVER": "",
        "ROS_DISTRO": "jazzy",
        "ROS_DOMAIN_ID": "31",
    }


def test_a_camera_frame_fits_into_the_profile_s_segment():
    namespace = {"dds": "http://www.eprosima.com"}
    root = ElementTree.parse(SHARED_MEMORY_PROFILE).getroot()
    frame_bytes = 640 * 480 * 3
    message = int(root.findtext(".//dds:maxMessageSize", namespaces=namespace) or 0)
    segment = int(root.findtext(".//dds:segment_size", namespaces=namespace) or 0)
    assert message > 4 * frame_bytes
    assert segment > 8 * message - 1
    addresses = [node.text for node in root.iterfind(".//dds:interfaceWhiteList/dds:address", namespace)]
    assert addresses == ["127.0.0.1"]


def test_two_claims_never_hold_the_same_domain():
    with claim_domain_id({}) as first, claim_domain_id({}) as second:
        assert first != second
        assert {first, second} <= set(DOMAIN_IDS)


def test_a_claim_is_seen_by_other_processes_and_ends_with_its_process():
    holder = textwrap.dedent("""
        from svam_ros.bringup.ros_environment import claim_domain_id
        with claim_domain_id({}) as domain_id:
            print(domain_id, flush=True)
            input()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = int(process.stdout.readline())
        with claim_domain_id({}) as ours:
            assert ours != theirs
        process.kill()
    with claim_domain_id({}) as ours:
        assert ours <= theirs


def test_a_domain_with_a_participant_s_port_in_use_is_not_taken():
    with claim_domain_id({}) as expected:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("127.0.0.1", 7410 + 250 * expected))
        assert not domain_is_free(expected)
        with claim_domain_id({}) as taken:
            assert taken != expected
    assert domain_is_free(expected)


def test_the_user_s_domain_is_honoured():
    with claim_domain_id({"ROS_DOMAIN_ID": "7"}) as domain_id:
        assert domain_id == 7


@pytest.mark.parametrize("text", ["233", "-1", "seven", "1.5", "²"])
def test_a_wrong_domain_is_refused_with_what_is_allowed(text):
    with (
        pytest.raises(RosEnvironmentError, match=r"ROS_DOMAIN_ID is .* allowed is .* 0 to 232"),
        claim_domain_id({"ROS_DOMAIN_ID": text}),
    ):
        pass


def test_no_domain_left_is_said(monkeypatch):
    monkeypatch.setattr("svam_ros.bringup.ros_environment.DOMAIN_IDS", range(30, 30))
    with pytest.raises(RosEnvironmentError, match="--domain-id"), claim_domain_id({}):
        pass


def test_a_real_node_uses_shared_memory_of_the_profile_s_size():
    script = textwrap.dedent("""
        import os, rclpy
        rclpy.init()
        node = rclpy.create_node("fits_a_frame")
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "/dev/shm/fastdds_" in line}
        sizes = [os.stat(path).st_size for path in paths]
        print(max(sizes))
    """)
    with claim_domain_id({}) as domain_id:
        environment = {**os.environ, **ros_environment(domain_id, user={})}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 33_554_432
    assert done.stderr == ""
