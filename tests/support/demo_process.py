"""`svam demo` as a process of its own, and a referee that listens on its topics."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from sensor_msgs.msg import JointState

from support.fake_cobot import wait_for
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.command_log import CommandLog
from svam_ros.nodes.robot_operator import Operator
from svam_ros.translation.joint_states import read_joint_state

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
        # A shell starts what runs behind its prompt with Ctrl-C ignored, the tests too; the demo obeys that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads of ours
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 120.0) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, err


def child(process: subprocess.Popen[str], name: str) -> psutil.Process:
    for candidate in psutil.Process(process.pid).children(recursive=True):
        if f"svam_ros.nodes.{name}" in words(candidate):
            return candidate
    raise AssertionError(f"{name} is not running")


def words(candidate: psutil.Process) -> list[str]:
    """The command line of a process; empty once it has ended, which it may do while one asks."""
    try:
        return candidate.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


class Referee:
    """Listens to both arms' commands and measured states on the demo's own domain."""

    def __init__(self) -> None:
        self.operator = Operator(PROFILE)
        self.log = CommandLog(self.operator.streams, PROFILE, load_cobot())
        self.measured: dict[str, list[np.ndarray]] = {arm: [] for arm in ARM_NAMES}
        for arm in ARM_NAMES:
            topic = PROFILE.arms[arm].state_topic
            self.operator.streams.subscribe(JointState, topic, partial(self._on_state, arm), qos.RECORDING)

    def _on_state(self, arm: str, message: JointState) -> None:
        self.measured[arm].append(read_joint_state(message, PROFILE, arm, 0).positions)

    def close(self) -> None:
        self.operator.close()

    def wait_for_motion(self, process: subprocess.Popen[str] | None = None) -> None:
        """Until the demo moves the arms, and a little longer; a demo that does not is asked why."""

        def in_motion() -> bool:
            self.operator.check()
            assert process is None or process.poll() is None, "the demo ended"
            return self.operator.motion.get("state") in ("ramping", "following")

        try:
            wait_for(in_motion, 60.0, "motion")
        except AssertionError:
            print("The last motion status:", self.operator.motion)
            if process is not None:
                process.send_signal(signal.SIGINT)
                print(*finish(process, 30.0), sep="\n")
            raise
        time.sleep(0.7)
