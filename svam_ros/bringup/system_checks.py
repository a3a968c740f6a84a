"""What this machine can do: one small function per question, each answering with a :class:`CheckResult`.

Nothing here imports torch, rclpy or MuJoCo. What only they can tell comes from a probe: a module of
another layer, run in a process of its own, that prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from svam_ros.bringup.python_path import shadowed_by_python_path
from svam_ros.bringup.reach import discovery_range
from svam_ros.bringup.ros_environment import (
    SHARED_MEMORY_PROFILE,
    RosEnvironmentError,
    checked_domain_id,
    claim_domain_id,
    ros_environment,
)
from svam_ros.bringup.run_record import remove_what_dead_runs_left
from svam_ros.bringup.shared_memory import SHARED_MEMORY, abandoned_segments

PROBE_TIMEOUT_S = 90.0
MEBIBYTE = 2**20

NEEDED_SHARED_MEMORY = 160 * MEBIBYTE
"""Four processes (policy, guard, simulation, demo) with a segment of 34 MiB each, and a little more."""

NEEDED_SEGMENT = 32 * MEBIBYTE
"""Of one process, for its camera frames."""

RENDERING_PACKAGES = "sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"


@dataclass(frozen=True)
class CheckResult:
    """The answer to one question."""

    name: str
    status: Literal["ok", "note", "fail"]
    """``note``: works, or is optional, but worth knowing; ``fail``: the demo cannot run."""
    text: str
    """What was found."""
    fix: str = ""
    """What to do about it."""


class ProbeError(RuntimeError):
    """A probe ended without an answer; the text is the last line that it wrote."""


def run_probe(module: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run ``python -m <module>`` and read the JSON that it prints last.

    Raises:
        ProbeError: it failed, took longer than :data:`PROBE_TIMEOUT_S`, or printed something else.
    """
    command = [sys.executable, "-m", module]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ProbeError(_last_line(done.stderr) or f"ended with exit code {done.returncode}")
        answer: dict[str, Any] = json.loads(_last_line(done.stdout))
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"no answer within {PROBE_TIMEOUT_S:.0f} s") from error
    except json.JSONDecodeError as error:
        raise ProbeError(f"unexpected answer '{_last_line(done.stdout)}'") from error
    return answer


def check_python(found: tuple[int, int] | None = None) -> CheckResult:
    """Whether the interpreter is new enough."""
    major, minor = found or sys.version_info[:2]
    text = f"{major}.{minor}"
    if (major, minor) >= (3, 11):
        return CheckResult("python", "ok", text)
    advice = "use Python 3.11 or newer; 3.10 runs guard_node only"
    return CheckResult("python", "fail", f"{text} is too old for the networks and the simulation", advice)


def check_python_path() -> CheckResult:
    """Whether ``PYTHONPATH`` puts other libraries before those of this environment."""
    shadowed = shadowed_by_python_path()
    if shadowed:
        return CheckResult("libraries", "note", shadowed, "unset PYTHONPATH, or make it name no such folder")
    return CheckResult("libraries", "ok", "those of this environment")


def check_torch() -> tuple[CheckResult, CheckResult]:
    """torch, and the device that it would run on."""
    try:
        probe = run_probe("svam_ros.engines.torch_probe")
    except ProbeError as error:
        failed = CheckResult("torch", "fail", str(error), "pip install -c constraints.txt torch")
        return failed, CheckResult("gpu", "note", "not known without torch")
    torch = CheckResult("torch", "ok", f"{probe['torch']}, {probe['threads']} threads")
    if probe["gpu"]:
        return torch, CheckResult("gpu", "ok", f"{probe['gpu']}, CUDA {probe['cuda_build']}")
    if shutil.which("nvidia-smi") and not probe["cuda_build"]:
        text = "there is an NVIDIA driver, but this torch is built without CUDA"
        return torch, CheckResult("gpu", "note", text, "install a CUDA build of torch to use it")
    return torch, CheckResult("gpu", "note", "none: the network runs on the CPU")


def check_tensorrt() -> CheckResult:
    """TensorRT is optional."""
    for distribution in metadata.distributions():
        if distribution.metadata["Name"] in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"):
            return CheckResult("tensorrt", "ok", distribution.version)
    return CheckResult("tensorrt", "note", "not installed (optional)")


def check_ros() -> tuple[CheckResult, CheckResult]:
    """ROS 2 with our messages, and whether camera frames go through shared memory, as in the demo."""
    try:
        with claim_domain_id({}) as domain_id:
            environment = ros_environment(domain_id, isolated=True)
            probe = run_probe("svam_ros.nodes.ros_probe", environment)
    except (ProbeError, RosEnvironmentError) as error:
        advice = (
            "pip install -c constraints.txt 'svam_ros[ros]', or source /opt/ros/<distribution>/setup.bash"
        )
        failed = CheckResult("ros", "fail", str(error), advice)
        return failed, CheckResult("fast dds", "note", "not known without ROS 2")
    ros = CheckResult("ros", "ok", f"{_ros_origin(probe['location'])}, {probe['middleware']}")
    return ros, judge_fast_dds(probe["segment_bytes"])


def judge_fast_dds(segment_bytes: int, user: Mapping[str, str] | None = None) -> CheckResult:
    """Whether a process of ours got a shared-memory segment that holds camera frames.

    Args:
        segment_bytes: what it got, with our profile.
        user: what the user has set; the launch files obey it, the demo does not.
    """
    user = os.environ if user is None else user
    name, ours = "fast dds", str(SHARED_MEMORY_PROFILE)
    text = f"shared memory of {segment_bytes / MEBIBYTE:.1f} MiB a process"
    if segment_bytes < NEEDED_SEGMENT:
        return CheckResult(
            name, "fail", f"{text}: camera frames will be lost", f"see what Fast DDS says to {ours}"
        )
    middleware = user.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp"
    if middleware != "rmw_fastrtps_cpp":
        text = f"{text} in the demo; the launch files use {middleware}, not tried with camera frames"
        return CheckResult(name, "note", text, "unset RMW_IMPLEMENTATION to use Fast DDS")
    profile = user.get("FASTDDS_DEFAULT_PROFILES_FILE") or ours
    if profile != ours:
        text = f"{text} in the demo; the launch files use your profile {profile}"
        advice = f"give it segments of {NEEDED_SEGMENT // MEBIBYTE} MiB, as in {ours}"
        return CheckResult(name, "note", text, advice)
    advice = f"give it to the camera driver too: export FASTDDS_DEFAULT_PROFILES_FILE={ours}"
    return CheckResult(name, "ok", text, advice)


def check_rendering() -> CheckResult:
    """Whether the simulated camera can draw."""
    try:
        probe = run_probe("svam_ros.simulation.rendering_probe")
    except ProbeError as error:
        no_mujoco = str(error).startswith("ModuleNotFoundError")
        advice = "pip install -c constraints.txt 'svam_ros[sim]'" if no_mujoco else RENDERING_PACKAGES
        switched_off = "gl_context" in str(error)  # MuJoCo's answer where no library was found to draw with
        text = "there is no EGL library to draw with" if switched_off else str(error)
        return CheckResult("rendering", "fail", text, advice)
    text = f"MuJoCo {probe['mujoco']}, {probe['backend']} on {probe['driver']}"
    if not probe["drew_something"]:
        return CheckResult("rendering", "fail", f"{text} drew an empty picture", RENDERING_PACKAGES)
    return CheckResult("rendering", "ok", text)


def check_shared_memory(free_bytes: int | None = None) -> CheckResult:
    """Whether /dev/shm has room, and whether killed nodes left something there.

    What runs of ours left that were killed is removed. The rest may belong to a program in another
    container, so that is left to the user.
    """
    name = "shared memory"
    if not SHARED_MEMORY.is_dir():
        return CheckResult(name, "fail", f"there is no {SHARED_MEMORY}", "mount a tmpfs there")
    removed = remove_what_dead_runs_left()
    if free_bytes is None:
        free_bytes = shutil.disk_usage(SHARED_MEMORY).free
    text = f"{free_bytes / MEBIBYTE:.0f} MiB free"
    if removed:
        text += f"; {removed} files removed that a killed run had left"
    abandoned = sorted(map(str, abandoned_segments()))
    remove = f"if no container shares {SHARED_MEMORY}: rm -f {shlex.join(abandoned)}"
    if free_bytes < NEEDED_SHARED_MEMORY:
        advice = remove if abandoned else "remove what fills it; in a container: docker run --shm-size=512m"
        return CheckResult(name, "fail", f"{text}, needed are {NEEDED_SHARED_MEMORY // MEBIBYTE}", advice)
    if abandoned:
        text = f"{text}; {len(abandoned)} files that no process here uses"
        return CheckResult(name, "note", text, remove)
    return CheckResult(name, "ok", text)


def check_discovery(user: Mapping[str, str] | None = None) -> CheckResult:
    """How far the launch files' nodes look for others; the demo always stays on this machine."""
    user = os.environ if user is None else user
    chosen = discovery_range(user)
    if chosen == "OFF":
        advice = "unset ROS_AUTOMATIC_DISCOVERY_RANGE; the demo ignores it"
        return CheckResult("discovery", "note", "is off: launched nodes cannot find each other", advice)
    if chosen in ("", "LOCALHOST"):
        return CheckResult("discovery", "ok", "this machine only")
    advice = "unset ROS_AUTOMATIC_DISCOVERY_RANGE to stay on this machine; the demo ignores it"
    return CheckResult("discovery", "note", f"{chosen}: nodes on other machines are found too", advice)


def check_domain(user: Mapping[str, str] | None = None) -> CheckResult:
    """Whether there is a ROS domain for the demo, and whether ``ROS_DOMAIN_ID``, which it ignores, is one."""
    chosen = (os.environ if user is None else user).get("ROS_DOMAIN_ID", "").strip()
    try:
        with claim_domain_id({}) as domain_id:
            text = f"{domain_id} is free for the demo"
    except RosEnvironmentError as error:
        return CheckResult("domain", "fail", str(error), "svam demo --domain-id takes the one you name")
    if not chosen:
        return CheckResult("domain", "ok", text)
    try:
        checked_domain_id(chosen, "ROS_DOMAIN_ID")
    except RosEnvironmentError as error:
        advice = "correct it before you use the launch files; the demo ignores it"
        return CheckResult("domain", "note", f"{text}; {error}", advice)
    return CheckResult("domain", "ok", f"{text}, which ignores your ROS_DOMAIN_ID {chosen}")


def _ros_origin(location: str) -> str:
    if location.startswith("/opt/ros/"):
        return f"ROS 2 {Path(location).parts[3]} in /opt/ros"
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name.startswith("ros-") and name.endswith("-rclpy") and name.count("-") == 2:
            return f"ROS 2 {name.split('-')[1]} from wheels, rclpy {distribution.version}"
    return f"rclpy in {location}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
