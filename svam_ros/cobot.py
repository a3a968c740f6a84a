"""The embodiment and its dialects: the robot's numbers, read from ``calibration/`` and checked.

``Cobot`` says what the robot is (joints, limits, home); ``RobotProfile`` says how one family of
drivers speaks about it (topics, joint names, units, rates). Nothing else in the code knows either.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import yaml
from dacite import Config, DaciteError, from_dict

from svam_ros.shipped_files import shipped_directory
from svam_ros.types import FloatArray, JointLimits

ARM_NAMES = ("left", "right")

T = TypeVar("T")


class CalibrationError(ValueError):
    """A calibration file says something that cannot be; the text names the file and the key."""


@dataclass(frozen=True)
class Cobot:
    """The two arms as one row of 14 numbers, left arm first."""

    joint_names: tuple[str, ...]
    """Our own names, as in chunks and model directories."""
    limits: JointLimits
    home: FloatArray
    """``(14,)``."""
    control_period_s: float
    """Time between two steps of a chunk."""

    @property
    def joints_per_arm(self) -> int:
        """Seven: six revolute joints and the gripper."""
        return len(self.joint_names) // len(ARM_NAMES)

    @property
    def gripper_indices(self) -> tuple[int, ...]:
        """Where the grippers stand in a 14-vector: the last entry of each arm."""
        n = self.joints_per_arm
        return tuple(n * (arm + 1) - 1 for arm in range(len(ARM_NAMES)))

    def arm_slice(self, arm: str) -> slice:
        """The entries of ``"left"`` or ``"right"`` in a 14-vector."""
        start = ARM_NAMES.index(arm) * self.joints_per_arm
        return slice(start, start + self.joints_per_arm)


@dataclass(frozen=True)
class CameraProfile:
    """The front camera as its driver publishes it."""

    image_topic: str
    camera_info_topic: str
    frame_id: str
    width: int
    height: int
    encoding: str
    rate_hz: float


@dataclass(frozen=True)
class ArmProfile:
    """Topics of one arm and the names its driver gives the seven joints, in our order."""

    state_topic: str
    command_topic: str
    joint_names: tuple[str, ...]


@dataclass(frozen=True)
class GripperProfile:
    """Unit of the gripper in messages."""

    metres_per_unit: float
    """1.0 where messages carry metres of opening, 2.0 where they carry the way of one finger."""


@dataclass(frozen=True)
class EnableProfile:
    """How the driver is told that commands may move the motors."""

    kind: Literal["none", "topic", "service"]
    name: str


@dataclass(frozen=True)
class RobotProfile:
    """One dialect of the Cobot family: a file in ``calibration/profiles``."""

    name: str
    description: str
    camera: CameraProfile
    arms: dict[str, ArmProfile]
    gripper: GripperProfile
    state_rate_hz: float
    command_rate_hz: float
    """Rate at which set-points are streamed, 25 to 200 Hz."""
    speed_percent: int | None
    """What ``velocity[6]`` of a command must say; ``None`` where the driver gives it no meaning."""
    gripper_effort: float
    enable: EnableProfile


def load_cobot(path: Path | None = None) -> Cobot:
    """Read ``calibration/cobot.yaml`` (or ``path``).

    Raises:
        CalibrationError: a key is missing, unknown or of the wrong type, or limits contradict.
    """
    path = path or shipped_directory("calibration") / "cobot.yaml"
    raw = _read_yaml(path)
    file = _checked(_CobotFile, raw, path)
    names = tuple(name for arm in file.arms for name in arm.joint_names)
    limits = JointLimits(
        lower=_both_arms(file.limits.lower),
        upper=_both_arms(file.limits.upper),
        velocity=_both_arms(file.limits.velocity),
        acceleration=_both_arms(file.limits.acceleration),
        jerk=_both_arms(file.limits.jerk),
    )
    home = np.asarray(file.home, dtype=np.float64)
    home.setflags(write=False)
    cobot = Cobot(names, limits, home, file.control_period_s)
    _check_cobot(cobot, file, path)
    return cobot


def profile_names() -> list[str]:
    """The robot profiles that ship with the package."""
    return sorted(path.stem for path in (shipped_directory("calibration") / "profiles").glob("*.yaml"))


def load_robot_profile(name: str) -> RobotProfile:
    """Read ``calibration/profiles/<name>.yaml``.

    Raises:
        CalibrationError: no such profile, or it is not one; the text lists those there are.
    """
    path = shipped_directory("calibration") / "profiles" / f"{name}.yaml"
    if name not in profile_names():
        hint = "".join(f", did you mean '{m}'?" for m in get_close_matches(name, profile_names(), 1))
        raise CalibrationError(f"unknown robot profile '{name}'{hint} Known: {', '.join(profile_names())}")
    profile = _checked(RobotProfile, {**_read_yaml(path), "name": name}, path)
    if tuple(sorted(profile.arms)) != ARM_NAMES:
        raise CalibrationError(f"{path}: arms must be exactly {ARM_NAMES}, got {tuple(profile.arms)}")
    for arm, arm_profile in profile.arms.items():
        if len(set(arm_profile.joint_names)) != 7:
            raise CalibrationError(f"{path}: arms.{arm}.joint_names must be 7 different names")
    for key, value, low, high in (
        ("command_rate_hz", profile.command_rate_hz, 25.0, 200.0),
        ("state_rate_hz", profile.state_rate_hz, 25.0, 400.0),
        ("camera.rate_hz", profile.camera.rate_hz, 1.0, 120.0),
        ("camera.width", profile.camera.width, 16, 8192),
        ("camera.height", profile.camera.height, 16, 8192),
        ("gripper.metres_per_unit", profile.gripper.metres_per_unit, 1e-6, 100.0),
        ("speed_percent", 1 if profile.speed_percent is None else profile.speed_percent, 1, 100),
    ):
        if not low <= value <= high:
            raise CalibrationError(f"{path}: {key} is {value}, allowed is {low} to {high}")
    return profile


@dataclass(frozen=True)
class _ArmNames:
    name: str
    joint_names: list[str]


@dataclass(frozen=True)
class _LimitRows:
    lower: list[float]
    upper: list[float]
    velocity: list[float]
    acceleration: list[float]
    jerk: list[float]


@dataclass(frozen=True)
class _CobotFile:
    control_period_s: float
    arms: list[_ArmNames]
    limits: _LimitRows
    home: list[float]


def _both_arms(row: list[float]) -> FloatArray:
    both = np.tile(np.asarray(row, dtype=np.float64), len(ARM_NAMES))
    both.setflags(write=False)
    return both


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CalibrationError(f"{path}: cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CalibrationError(f"{path}: expected keys and values, got {type(raw).__name__}")
    return raw


def _checked(kind: type[T], raw: dict[str, Any], path: Path) -> T:
    config = Config(strict=True, type_hooks={float: float}, cast=[tuple])
    try:
        return from_dict(kind, raw, config)
    except (DaciteError, TypeError, ValueError) as error:
        raise CalibrationError(f"{path}: {error}") from error


def _check_cobot(cobot: Cobot, file: _CobotFile, path: Path) -> None:
    if tuple(arm.name for arm in file.arms) != ARM_NAMES:
        raise CalibrationError(f"{path}: arms must be {ARM_NAMES} in this order")
    rows = vars(file.limits)
    for key, row in {**rows, "home": file.home}.items():
        numbers = len(cobot.joint_names) if key == "home" else cobot.joints_per_arm
        if len(row) != numbers or not np.all(np.isfinite(row)):
            raise CalibrationError(f"{path}: {key} must be {numbers} finite numbers, got {row}")
    for key in ("velocity", "acceleration", "jerk"):
        if min(rows[key]) <= 0:
            raise CalibrationError(f"{path}: limits.{key} must be above 0, got {rows[key]}")
    if not np.all(cobot.limits.lower < cobot.limits.upper):
        raise CalibrationError(f"{path}: limits.lower must be below limits.upper")
    if not np.all((cobot.limits.lower <= cobot.home) & (cobot.home <= cobot.limits.upper)):
        raise CalibrationError(f"{path}: home lies outside the limits")
    if not 0.005 <= cobot.control_period_s <= 0.2:
        raise CalibrationError(
            f"{path}: control_period_s is {cobot.control_period_s}, allowed is 0.005 to 0.2"
        )
