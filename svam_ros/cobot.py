"""The embodiment and its dialects: the robot's numbers, read from ``calibration/`` and checked.

``Cobot`` says what the robot is (joints, limits, home); ``RobotProfile`` says how one family of
drivers speaks about it (topics, joint names, units, rates). Nothing else in the code knows either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from svam_ros.checked_yaml import CalibrationError, checked, read_yaml
from svam_ros.shipped_files import shipped_directory
from svam_ros.types import FASTEST_COMMAND_RATE_HZ, SLOWEST_COMMAND_RATE_HZ, FloatArray, JointLimits

__all__ = [
    "ARM_NAMES",
    "ArmProfile",
    "CalibrationError",
    "CameraProfile",
    "Cobot",
    "EnableProfile",
    "GripperProfile",
    "PiperCanProfile",
    "RobotProfile",
    "load_cobot",
    "load_robot_profile",
    "profile_names",
]

ARM_NAMES = ("left", "right")


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

    @property
    def is_arm_joint(self) -> NDArray[np.bool_]:
        """``(14,)``: a revolute joint of an arm, and no gripper."""
        mask = np.ones(len(self.joint_names), dtype=np.bool_)
        mask[list(self.gripper_indices)] = False
        return mask

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
    """Topics of one arm and the names of the seven joints there, in our order."""

    state_topic: str
    command_topic: str
    state_joint_names: tuple[str, ...]
    """What the driver calls them when it reports."""
    command_joint_names: tuple[str, ...]
    """What it is told; a joint that a command does not name is driven to 0 rad by the common driver."""
    gripper_command_topic: str = ""
    """Where the gripper, the last joint, has a controller of its own; only with output joint_trajectory."""


@dataclass(frozen=True)
class GripperProfile:
    """Unit of the gripper in messages."""

    metres_per_unit: float
    """1.0 where messages carry metres of opening, 2.0 where they carry the way of one finger."""


@dataclass(frozen=True)
class EnableProfile:
    """How the drivers are told that commands may move the motors."""

    kind: Literal["none", "topic", "service"]
    """``topic`` is a ``std_msgs/Bool``, ``service`` a ``std_srvs/SetBool``."""
    names: dict[str, str]
    """Arm -> topic or service; the same name twice where one reaches both. Empty for ``none``."""


@dataclass(frozen=True)
class PiperCanProfile:
    """The CAN buses of output ``piper_can``, one an arm."""

    interfaces: dict[str, str] = field(default_factory=dict)
    """Arm -> network interface, as ``ip link`` shows it; its bit rate is set there too."""
    bus_type: Literal["socketcan", "virtual"] = "socketcan"
    """``virtual`` is python-can's bus inside one process, for tests."""


@dataclass(frozen=True)
class RobotProfile:
    """One dialect of the Cobot family: a file in ``calibration/profiles``, or the user's own."""

    name: str
    """The file's, without its ending."""
    description: str
    camera: CameraProfile
    arms: dict[str, ArmProfile]
    gripper: GripperProfile
    state_rate_hz: float
    command_rate_hz: float
    """Rate at which set-points are streamed, 25 to 200 Hz."""
    speed_percent: int | None
    """What ``velocity[6]`` of a command must say; ``None`` where the driver gives it no meaning. With output
    ``piper_can`` the speed of the arms' own planner, of 3.0 rad/s."""
    gripper_effort: float
    """N m."""
    enable: EnableProfile
    output: Literal["joint_state", "joint_trajectory", "piper_can"] = "joint_state"
    """What commands are: single set-points; trajectories that end at rest, for ros2_control's
    joint_trajectory_controller; or frames on the Piper arms' CAN buses, without drivers of others: then
    the guard itself publishes what is measured and what is commanded on the arms' topics."""
    states_stamped: bool = True
    """False where the driver never stamps its joint states: then their arrival counts as their stamp."""
    piper_can: PiperCanProfile = PiperCanProfile()
    """Only with output ``piper_can``."""


def load_cobot(file_path: Path | str = "") -> Cobot:
    """Read ``calibration/cobot.yaml``, or another file of the same form.

    Raises:
        CalibrationError: a key is missing, unknown or of the wrong type, or limits contradict.
    """
    shipped = shipped_directory("calibration") / "cobot.yaml"
    path = Path(file_path).expanduser() if str(file_path) else shipped
    raw = read_yaml(path)
    file = checked(_CobotFile, raw, path)
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


def load_robot_profile(profile: str) -> RobotProfile:
    """Read a profile that ships with the package, or a file of the same form.

    Args:
        profile: one of :func:`profile_names`, or a path: that is what holds a ``/`` or ends in ``.yaml``.

    Raises:
        CalibrationError: no such profile, or it is not one; the text names the file, the key and what is
            allowed, or lists the profiles there are.
    """
    path = _profile_path(profile)
    raw = read_yaml(path)
    if "name" in raw:
        raise CalibrationError(f"{path}: a profile has the name of its file, the key 'name' is not allowed")
    result = checked(RobotProfile, {**raw, "name": path.stem}, path)
    _check_arms(result, path)
    _check_piper_can(result, path)
    for key, value, low, high in (
        ("command_rate_hz", result.command_rate_hz, SLOWEST_COMMAND_RATE_HZ, FASTEST_COMMAND_RATE_HZ),
        ("state_rate_hz", result.state_rate_hz, 25.0, 400.0),
        ("camera.rate_hz", result.camera.rate_hz, 1.0, 120.0),
        ("camera.width", result.camera.width, 16, 8192),
        ("camera.height", result.camera.height, 16, 8192),
        ("gripper.metres_per_unit", result.gripper.metres_per_unit, 1e-6, 100.0),
        ("speed_percent", 1 if result.speed_percent is None else result.speed_percent, 1, 100),
    ):
        if not low <= value <= high:
            raise CalibrationError(f"{path}: {key} is {value}, allowed is {low} to {high}")
    return result


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


def _profile_path(profile: str) -> Path:
    if "/" in profile or profile.endswith(".yaml"):
        return Path(profile).expanduser()
    if profile not in profile_names():
        hint = "".join(f", did you mean '{m}'?" for m in get_close_matches(profile, profile_names(), 1))
        raise CalibrationError(
            f"unknown robot profile '{profile}'{hint or '.'} Known: {', '.join(profile_names())}; "
            f"a file of your own is given as a path that ends in .yaml"
        )
    return shipped_directory("calibration") / "profiles" / f"{profile}.yaml"


def _check_arms(profile: RobotProfile, path: Path) -> None:
    if set(profile.arms) != set(ARM_NAMES):
        raise CalibrationError(f"{path}: arms must be exactly {ARM_NAMES}, got {tuple(profile.arms)}")
    owners: dict[str, str] = {}
    for arm in ARM_NAMES:
        for key in ("state_joint_names", "command_joint_names"):
            names = getattr(profile.arms[arm], key)
            if len(names) != 7 or len(set(names)) != 7:
                raise CalibrationError(f"{path}: arms.{arm}.{key} must be 7 different names, got {names}")
        for key in ("state_topic", "command_topic"):
            topic, owner = getattr(profile.arms[arm], key), f"arms.{arm}.{key}"
            if owners.setdefault(topic, owner) != owner:
                raise CalibrationError(f"{path}: {owner} is '{topic}', which is {owners[topic]} already")
        if profile.arms[arm].gripper_command_topic and profile.output != "joint_trajectory":
            raise CalibrationError(
                f"{path}: arms.{arm}.gripper_command_topic is for output joint_trajectory; single set-points "
                f"name all seven joints in one message"
            )
    wanted = () if profile.enable.kind == "none" else ARM_NAMES
    if set(profile.enable.names) != set(wanted):
        raise CalibrationError(
            f"{path}: enable.names must name {' and '.join(wanted) or 'nothing'} for kind "
            f"'{profile.enable.kind}', got {tuple(profile.enable.names)}"
        )


def _check_piper_can(profile: RobotProfile, path: Path) -> None:
    interfaces = profile.piper_can.interfaces
    if profile.output != "piper_can":
        if profile.piper_can != PiperCanProfile():
            raise CalibrationError(f"{path}: piper_can is for output piper_can, got output {profile.output}")
        return
    if set(interfaces) != set(ARM_NAMES) or len(set(interfaces.values())) != len(ARM_NAMES):
        raise CalibrationError(
            f"{path}: piper_can.interfaces must name a CAN interface of its own for left and right, "
            f"got {interfaces}"
        )
    if profile.speed_percent is None:
        raise CalibrationError(f"{path}: speed_percent is null, output piper_can needs 1 to 100")
    if not 0.5 <= profile.gripper_effort <= 3.0:
        raise CalibrationError(
            f"{path}: gripper_effort is {profile.gripper_effort} N m, output piper_can allows 0.5 to 3"
        )
    if profile.gripper.metres_per_unit != 1.0 or profile.enable.kind != "none":
        raise CalibrationError(
            f"{path}: with output piper_can gripper.metres_per_unit is 1.0 and enable.kind is none: "
            f"the guard speaks to the arms itself"
        )
    if profile.state_rate_hz > profile.command_rate_hz:
        raise CalibrationError(
            f"{path}: state_rate_hz is {profile.state_rate_hz:g}, allowed with output piper_can is at most "
            f"command_rate_hz ({profile.command_rate_hz:g}): the guard publishes between set-points"
        )


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
