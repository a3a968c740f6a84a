"""`svam demo` as a user runs it, with a referee that listens on the real topics."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from support.fake_cobot import wait_for

from svam_ros import graph
from svam_ros.artifacts.model_directory import resolve_model
from svam_ros.bringup.shared_memory import abandoned_segments
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.profiling.stage_timer import STAGES
from svam_ros.recording.episode_file import EPISODE_METADATA
from svam_ros.recording.episode_reader import read_metadata
from svam_ros.shipped_files import shipped_directory

PROFILE = load_robot_profile("cobot_magic")
SINE = ("--engine", "scripted", "--model", "motion=sine amplitude=0.2")


def demo(
    report: Path | None, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "svam_ros.cli", "demo", "--headless", *arguments]
    if report is not None:
        command += ["--report", str(report)]
    if env is not None:
        command += ["--domain-id", env["ROS_DOMAIN_ID"]]
    return subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 120.0) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, err


def child(process: subprocess.Popen[str], name: str) -> psutil.Process:
    for candidate in psutil.Process(process.pid).children(recursive=True):
        if f"svam_ros.nodes.{name}" in candidate.cmdline():
            return candidate
    raise AssertionError(f"{name} is not running")


class Referee:
    """Listens to both arms' commands and measured states on the demo's own domain."""

    def __init__(self) -> None:
        from svam_ros.nodes.command_log import CommandLog
        from svam_ros.nodes.robot_operator import Operator

        self.operator = Operator(PROFILE)
        self.log = CommandLog(self.operator.streams, PROFILE, load_cobot())

    def close(self) -> None:
        self.operator.close()

    def wait_for_motion(self) -> None:
        wait_for(lambda: self.operator.motion.get("state") in ("ramping", "following"), 60.0, "motion")
        time.sleep(0.7)

    def assert_within_limits(self, episodes: int = 1) -> None:
        """Also across pauses where there is one episode: a new scene puts the simulated arms elsewhere."""
        audit = self.log.audit()
        assert audit.set_points > 50
        assert (audit.non_finite, self.log.malformed) == (0, 0)
        assert audit.max_limit_excess <= 1e-9
        assert audit.max_velocity_ratio <= 1.02
        assert audit.max_acceleration_ratio <= 1.05
        if episodes == 1:
            assert audit.max_break_ratio is None or audit.max_break_ratio <= 1.0


@pytest.fixture
def referee(ros_domain):
    listening = Referee()
    yield listening
    listening.close()


def test_a_run_reports_records_and_leaves_nothing_behind(referee, ros_domain, tmp_path):
    before = abandoned_segments()
    report_dir = tmp_path / "report"
    process = demo(report_dir, *SINE, "--episodes", "2", "--seconds", "4", "--seed", "5", env=ros_domain)
    code, out, err = finish(process)
    assert code == 0, err
    referee.assert_within_limits(episodes=2)
    assert not psutil.pid_exists(process.pid)
    assert abandoned_segments() <= before

    report = json.loads((report_dir / "report.json").read_text())
    assert set(report["stages_ms"]) == set(STAGES)
    assert {"p50", "p95", "p99", "max", "n"} == set(report["stages_ms"]["total"])
    assert report["chunks"] == report["stages_ms"]["total"]["n"] > 5
    assert 0 < report["effective_hz"] <= 25.5
    assert 0 <= report["stall_ratio"] <= 1
    assert 0 < report["limits"]["max_velocity_ratio"] <= 1.02
    assert 0 < report["limits"]["max_acceleration_ratio"] <= 1.05
    assert [(e["task"], e["seed"], e["success"]) for e in report["episodes"]] == [
        ("lift_pot", 5, False),
        ("lift_pot", 6, False),
    ]
    assert {"deadline_misses", "observation_age_ms", "model", "engine", "versions", "machine"} <= set(report)
    assert all(60 <= episode["steps"] <= 110 for episode in report["episodes"])  # 4 s are 100 steps
    assert "effective rate" in out.lower()

    page = (report_dir / "report.html").read_text()
    assert page.count("data:image/") > 5
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert_episode_is_readable(report_dir / "episode_0000.mcap")
    assert (report_dir / "episode_0001.mcap").exists()


def assert_episode_is_readable(path: Path) -> None:
    wanted = {PROFILE.camera.image_topic, f"/{graph.CHUNK_TOPIC}", f"/{graph.TIMING_TOPIC}"}
    for arm in ARM_NAMES:
        wanted |= {PROFILE.arms[arm].state_topic, PROFILE.arms[arm].command_topic}
    with path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    counts = {
        c.topic: summary.statistics.channel_message_counts.get(i, 0) for i, c in summary.channels.items()
    }
    assert all(counts[topic] > 0 for topic in wanted), counts
    with AnyReader([path]) as reader:
        for connection, _time, data in reader.messages():
            reader.deserialize(data, connection.msgtype)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl_c", "closed_terminal"])
def test_an_interrupt_in_motion_brings_the_arms_to_rest_and_leaves_nothing_running(
    referee, ros_domain, tmp_path, number
):
    before = abandoned_segments()
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 3
    process.send_signal(number)
    process.send_signal(number)
    code, out, err = finish(process, 20.0)
    assert code == 130, err
    assert "The guard brought the arms to rest" in out
    assert not any(c.is_running() for c in children)
    assert abandoned_segments() <= before
    referee.assert_within_limits()
    assert_came_to_rest(referee)


def assert_came_to_rest(referee: Referee) -> None:
    for arm in ARM_NAMES:
        last = [reading.positions for reading in referee.log.readings(arm)[-2:]]
        assert np.allclose(last[0], last[1], atol=1e-4)


def test_kill_9_of_the_policy_in_motion_the_guard_rests_the_arms_and_the_exit_is_clear(
    referee, ros_domain, tmp_path
):
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion()
    child(process, graph.POLICY_NODE).kill()
    code, _out, err = finish(process, 30.0)
    assert code == 1
    assert "policy_node was killed by signal SIGKILL. The guard brought the arms to rest" in err
    assert "Traceback" not in err
    referee.assert_within_limits()
    assert_came_to_rest(referee)


def test_kill_9_of_the_guard_the_arms_rest_where_the_last_command_left_them(referee, ros_domain, tmp_path):
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion()
    child(process, graph.GUARD_NODE).kill()
    code, _out, err = finish(process, 30.0)
    assert code == 1
    assert "guard_node was killed by signal SIGKILL. The guard was gone" in err
    referee.assert_within_limits()


def test_killing_the_demo_itself_takes_its_processes_along(referee, ros_domain, tmp_path):
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion()
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=10)
    wait_for(lambda: not any(c.is_running() for c in children), 10.0, "the end of the children")
    referee.assert_within_limits()
    assert_came_to_rest(referee)


def test_an_interrupt_before_the_arms_were_commanded_says_so(tmp_path):
    process = demo(tmp_path / "report", *SINE)
    wait_for(lambda: psutil.Process(process.pid).children(), 30.0, "the first process")
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process, 30.0)
    assert code == 130, err
    assert "The arms were never commanded." in out


def test_two_demos_at_once_take_different_domains_and_different_folders(tmp_path):
    short = (*SINE, "--episodes", "1", "--seconds", "2")
    both = [demo(None, *short, cwd=tmp_path) for _ in range(2)]
    results = [finish(process) for process in both]
    assert [code for code, _out, _err in results] == [0, 0], results
    domains = {out.split("ROS domain ")[1].split(",")[0] for _code, out, _err in results}
    assert len(domains) == 2
    for folder in ("demo", "demo-2"):
        assert (tmp_path / "reports" / folder / "episode_0000.mcap").exists()
        assert len(json.loads((tmp_path / "reports" / folder / "report.json").read_text())["episodes"]) == 1
    assert sum("this report goes to reports/demo-2" in out for _code, out, _err in results) == 1


def test_what_the_user_has_set_for_a_robot_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_of_the_robot")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    monkeypatch.setenv("ROS_DISCOVERY_SERVER", "192.0.2.1:11811")
    monkeypatch.setenv("ROS_STATIC_PEERS", "192.0.2.1")
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/nowhere.xml")
    process = demo(tmp_path / "report", *SINE, "--episodes", "1", "--seconds", "1")
    code, out, err = finish(process)
    assert code == 0, err
    assert "ROS domain 7," not in out


def test_all_processes_speak_a_profile_of_one_s_own_even_with_the_real_drivers_quirks(tmp_path):
    shipped = shipped_directory("calibration") / "profiles" / "aloha_agilex.yaml"
    path = tmp_path / "own.yaml"
    path.write_text(shipped.read_text().replace("/joint_states_single_l", "/own/left/state"))
    report_dir = tmp_path / "report"
    profile = ("--profile", str(path), "--driver-quirks")
    code, _out, err = finish(demo(report_dir, *SINE, *profile, "--episodes", "1", "--seconds", "3"))
    assert code == 0, err
    report = json.loads((report_dir / "report.json").read_text())
    assert report["chunks"] > 5
    assert report["effective_hz"] > 10
    episode = report_dir / "episode_0000.mcap"
    with episode.open("rb") as stream:
        channels = make_reader(stream).get_summary().channels.values()
    assert "/own/left/state" in {channel.topic for channel in channels}
    assert read_metadata(episode)[EPISODE_METADATA]["profile"] == str(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--task", "lift_pan"), "lift_pot"),
        (("--model", "no_such_model"), "no_such_model"),
        (("--profile", "cobot_magik"), "did you mean 'cobot_magic'"),
        (("--profile", "no/such.yaml"), "no/such.yaml: cannot be read"),
        (("--episodes", "0"), "episodes"),
        (("--seconds", "nan"), "seconds"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_before_anything_starts(tmp_path, arguments, words):
    code, _out, err = finish(demo(tmp_path / "report", *arguments))
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "report" / "logs").exists()


def test_a_broken_model_is_refused_in_a_sentence_before_anything_starts(tmp_path):
    model = shutil.copytree(resolve_model("tiny"), tmp_path / "model")
    weights = bytearray((model / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "weights.safetensors").write_bytes(weights)
    code, _out, err = finish(demo(tmp_path / "report", "--model", str(model)))
    assert code == 2
    assert "weights.safetensors" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    "name", ["precious.txt", "logs/precious.log", "episode_1.mcap", "report.json/precious", "logs/deep/a"]
)
def test_a_folder_that_holds_something_else_is_never_emptied(tmp_path, name):
    (tmp_path / "logs").mkdir()
    ours = tmp_path / "logs" / "guard_node.log"
    ours.write_text("an earlier run")
    precious = tmp_path / name
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("keep me")
    code, _out, err = finish(demo(tmp_path, *SINE))
    assert code == 2
    assert "holds something else than a report" in err
    assert precious.read_text() == "keep me"
    assert ours.exists()
    assert not (tmp_path / ".lock").exists()
