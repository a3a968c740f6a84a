"""`svam demo` interrupted, killed, or robbed of a process: the arms come to rest, nothing is left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.demo_process import SINE, child, demo, finish, words
from support.fake_cobot import wait_for
from support.motion_checks import assert_came_to_rest, assert_within_limits

from svam_ros import graph
from svam_ros.bringup.run_record import RECORD_PREFIX, remove_what_dead_runs_left
from svam_ros.bringup.shared_memory import SHARED_MEMORY, abandoned_segments, segments, segments_of
from svam_ros.cobot import ARM_NAMES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl_c", "closed_terminal"])
def test_an_interrupt_in_motion_brings_the_arms_to_rest_and_leaves_nothing_running(
    referee, ros_domain, tmp_path, number
):
    before = segments()
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion(process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 3
    process.send_signal(number)
    process.send_signal(number)
    code, out, err = finish(process, 20.0)
    assert code == 130, err
    assert "The guard brought the arms to rest" in out
    assert_nothing_is_left(children, before)
    assert_within_limits(referee.log)
    assert_came_to_rest(referee.log)


def test_kill_9_of_the_policy_in_motion_the_guard_rests_the_arms_and_the_exit_is_clear(
    referee, ros_domain, tmp_path
):
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion(process)
    child(process, graph.POLICY_NODE).kill()
    code, _out, err = finish(process, 30.0)
    assert code == 1
    assert "policy_node was killed by signal SIGKILL. The guard brought the arms to rest" in err
    assert "Traceback" not in err
    assert_within_limits(referee.log)
    assert_came_to_rest(referee.log)


def test_kill_9_of_the_guard_the_arms_rest_where_the_last_command_left_them(referee, ros_domain, tmp_path):
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion(process)
    process.send_signal(signal.SIGSTOP)  # The demo would end the simulation at once: watch the arms first.
    child(process, graph.GUARD_NODE).kill()

    def rest_at_the_last_set_point() -> bool:
        measured = {arm: np.array(referee.measured[arm][-100:])[:, :6] for arm in ARM_NAMES}
        asked = {arm: referee.log.readings(arm)[-1].positions[:6] for arm in ARM_NAMES}
        return all(
            np.abs(measured[arm] - asked[arm]).max() < 0.03 and np.ptp(measured[arm], axis=0).max() < 0.005
            for arm in ARM_NAMES
        )

    wait_for(rest_at_the_last_set_point, 10.0, "the arms' rest")
    process.send_signal(signal.SIGCONT)
    code, _out, err = finish(process, 30.0)
    assert code == 1
    assert "guard_node was killed by signal SIGKILL. The guard was gone" in err
    assert_within_limits(referee.log)


def test_killing_the_demo_itself_takes_its_processes_along(referee, ros_domain, tmp_path):
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    referee.wait_for_motion(process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=10)
    wait_for(lambda: not any(c.is_running() for c in children), 10.0, "the end of the children")
    assert_within_limits(referee.log)
    assert_came_to_rest(referee.log)


def test_an_interrupt_before_the_arms_were_commanded_says_so(tmp_path):
    process = demo(tmp_path / "report", *SINE)
    wait_for(lambda: nodes(process.pid), 30.0, "the first process")
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process, 30.0)
    assert code == 130, err
    assert "The arms were never commanded." in out


@pytest.mark.slow
def test_what_a_killed_demo_leaves_in_shared_memory_the_next_look_removes(ros_domain, tmp_path):
    # Nobody listens here: who has read from a dead node's segment may remove it before we look.
    before = records()
    process = demo(tmp_path / "report", *SINE, "--seconds", "30", env=ros_domain)
    wait_for(lambda: len(nodes(process.pid)) == 3 and records() - before, 30.0, "the processes")
    (record,) = records() - before
    everybody = [*nodes(process.pid), process]
    wait_for(
        lambda: all(large(noted_in(record) & segments_of([one.pid])) for one in everybody),
        30.0,
        "the note of a large segment of each process",
    )
    held = noted_in(record)
    remove_what_dead_runs_left()
    assert record.exists()
    assert all(path.exists() for path in held)
    for number in (signal.SIGSTOP, signal.SIGKILL):  # Stopped first, so that none sees another one die.
        for one in everybody:
            one.send_signal(number)
    process.communicate(timeout=10)
    psutil.wait_procs(everybody[:-1], timeout=10)
    assert large(held), "nothing large was left: this test shows nothing"
    assert look() > 0
    assert not held & segments()
    assert not record.exists()


def noted_in(record: Path) -> set[Path]:
    return {SHARED_MEMORY / name for name in record.read_text().split()}


def large(paths: set[Path]) -> set[Path]:
    return {path for path in paths if path.exists() and path.stat().st_size > 2**20}


def look() -> int:
    """One look for what dead runs left, by a process of its own; how many segments it removed."""
    code = "from svam_ros.bringup.run_record import remove_what_dead_runs_left as r; print(r())"
    return int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.parametrize("signals", [[signal.SIGINT] * 3, [signal.SIGTERM], [signal.SIGHUP]], ids=str)
def test_a_signal_while_the_nodes_start_ends_with_130_and_leaves_nothing(tmp_path, signals):
    before = segments()
    process = demo(tmp_path / "report", *SINE)
    wait_for(lambda: len(nodes(process.pid)) == 3, 30.0, "the processes")
    children = nodes(process.pid)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    code, out, err = finish(process, 30.0)
    assert code == 130, err
    assert "The arms were never commanded." in out
    assert_nothing_is_left(children, before)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "starting", "moving"])
def test_closing_the_terminal_ends_it_cleanly_although_nobody_can_be_told(
    referee, ros_domain, tmp_path, moment
):
    before = segments()
    arguments = ("--headless", "--report", str(tmp_path / "report"), *SINE, "--seconds", "30")
    command = [sys.executable, "-m", "svam_ros.cli", "demo", *arguments]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*command, "--domain-id", ros_domain["ROS_DOMAIN_ID"]])
    os.read(terminal, 1)  # It has said something.
    children = []
    if moment != "before":
        wait_for(lambda: len(nodes(pid)) == 3, 30.0, "the processes")
        children = nodes(pid)
    if moment == "moving":
        referee.wait_for_motion()
    os.close(terminal)
    _pid, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert_nothing_is_left(children, before)
    if moment == "moving":
        assert_came_to_rest(referee.log)


def nodes(pid: int) -> list[psutil.Process]:
    return [one for one in psutil.Process(pid).children() if any("svam_ros.nodes" in w for w in words(one))]


def records() -> set[Path]:
    return set(SHARED_MEMORY.glob(f"{RECORD_PREFIX}*"))


def assert_nothing_is_left(children: list[psutil.Process], before: set[Path]) -> None:
    assert not any(one.is_running() for one in children)
    left = {path.name for path in abandoned_segments(left_the_graph=True) - before}
    assert not {name for name in left if "fastdds_port" not in name}  # The referee uses the ports too.
