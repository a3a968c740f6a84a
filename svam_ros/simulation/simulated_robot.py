"""The simulated Cobot as its robot profile's messages show it, without ROS and on simulated time.

``cobot_sim_node`` does the same on topics and in real time. Joint states and commands pass through the
translation that the nodes use, so that what is measured or recorded here is what a node would have had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from svam_ros.cobot import ARM_NAMES, CalibrationError, Cobot, RobotProfile
from svam_ros.simulation.appearance import NOMINAL, Appearance
from svam_ros.simulation.arm_driver import DriverSettings, JointCommand
from svam_ros.simulation.cobot_simulation import CobotSimulation, SceneSnapshot
from svam_ros.simulation.scene_model import PHYSICS_STEP_S
from svam_ros.translation.commands import arm_command
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.types import ArmReading, FloatArray

START_NS = 1_000_000_000
"""Time of the reset on the robot's clock: a state stamped 0 would count as unstamped."""


@dataclass(frozen=True)
class Stamp:
    """The fields of ``builtin_interfaces/Time``."""

    sec: int
    nanosec: int


@dataclass(frozen=True)
class Header:
    """The field of ``std_msgs/Header`` that the translation reads."""

    stamp: Stamp


@dataclass(frozen=True)
class JointStateMessage:
    """The fields of ``sensor_msgs/JointState`` that the translation reads."""

    header: Header
    name: tuple[str, ...]
    position: FloatArray
    velocity: FloatArray


class ArmReport(NamedTuple):
    """A joint state as a node has it after reading the message."""

    arm: str
    reading: ArmReading


class SimulatedRobot:
    """A task's scene with both arms' drivers, spoken to in the dialect of a profile.

    Args:
        task: name of a task.
        seed: draws the objects' start poses.
        profile: names, units and rates of the messages.
        shared: whether other tasks are possible in the scene too.
        appearance: light, colours and the camera's place.

    Raises:
        UnknownTaskError: no such task.
        CalibrationError: the simulation cannot report at the profile's rate.
    """

    def __init__(
        self,
        task: str,
        seed: int,
        profile: RobotProfile,
        *,
        shared: bool = False,
        appearance: Appearance = NOMINAL,
    ) -> None:
        self.profile = profile
        self.simulation = CobotSimulation(
            task, seed, drivers=driver_settings(profile), shared=shared, appearance=appearance
        )
        self._slice_s = report_period_s(profile)
        self._slices = 0

    @property
    def cobot(self) -> Cobot:
        """The embodiment."""
        return self.simulation.cobot

    @property
    def now_ns(self) -> int:
        """Time on the robot's clock."""
        return START_NS + self._slices * round(self._slice_s * 1e9)

    def snapshot(self) -> SceneSnapshot:
        """The scene now, for a camera; its frame is stamped :attr:`now_ns`."""
        return self.simulation.snapshot()

    def report(self) -> list[ArmReport]:
        """The joint states that the drivers publish now, read as the nodes read them."""
        return [ArmReport(arm, self._reading(arm)) for arm in ARM_NAMES]

    def send(self, positions: FloatArray, velocities: FloatArray) -> None:
        """Give both arms a set-point, ``(14,)`` rad and m, and per second.

        Raises:
            ValueError: a driver refused it, or a number is not finite.
        """
        for arm in ARM_NAMES:
            row = self.cobot.arm_slice(arm)
            command = arm_command(self.profile, arm, positions[row], velocities[row])
            self.simulation.command(
                arm, JointCommand(command.joint_names, command.position, command.velocity, command.effort)
            )

    def advance(self, duration_s: float) -> list[ArmReport]:
        """Let ``duration_s`` pass; gives the joint states of both arms at the profile's rate.

        Raises:
            ValueError: it is not a whole number of periods of the joint states.
        """
        slices = round(duration_s / self._slice_s)
        if slices < 1 or abs(slices * self._slice_s - duration_s) > 1e-9:
            raise ValueError(
                f"{duration_s * 1e3:g} ms cannot pass: joint states come every {self._slice_s * 1e3:g} ms"
            )
        reports = []
        for _ in range(slices):
            self.simulation.step(self._slice_s)
            self._slices += 1
            reports += self.report()
        return reports

    def _reading(self, arm: str) -> ArmReading:
        report, now_ns = self.simulation.driver_report(arm), self.now_ns
        header = Header(Stamp(now_ns // 1_000_000_000, now_ns % 1_000_000_000))
        names = self.profile.arms[arm].state_joint_names
        message = JointStateMessage(header, names, report.positions, report.velocities)
        return read_joint_state(message, self.profile, arm, now_ns)


def stream_step(robot: SimulatedRobot, before: FloatArray, target: FloatArray) -> list[ArmReport]:
    """One control step without a guard: set-points on the line from ``before`` to ``target``.

    They are clipped into the limits and streamed at the profile's rate.

    Args:
        robot: moves.
        before: ``(14,)`` last set-point.
        target: ``(14,)`` set-point at the end of the step.

    Returns:
        The joint states that came meanwhile.
    """
    cobot, rate_hz = robot.cobot, robot.profile.command_rate_hz
    count = max(1, round(cobot.control_period_s * rate_hz))
    way = np.clip(target, cobot.limits.lower, cobot.limits.upper) - before
    reports = []
    for index in range(1, count + 1):
        robot.send(before + way * (index / count), way / cobot.control_period_s)
        reports += robot.advance(cobot.control_period_s / count)
    return reports


def driver_settings(profile: RobotProfile, quirks: bool = False) -> dict[str, DriverSettings]:
    """Drivers that understand the profile's commands."""
    return {
        arm: DriverSettings(
            profile.arms[arm].command_joint_names,
            quirks,
            profile.gripper.metres_per_unit,
            reads_speed_percent=profile.speed_percent is not None,
        )
        for arm in ARM_NAMES
    }


def report_period_s(profile: RobotProfile) -> float:
    """Time between two joint states: the profile's rate, in whole physics steps.

    Raises:
        CalibrationError: the rate is not a whole number of physics steps.
    """
    steps = round(1.0 / profile.state_rate_hz / PHYSICS_STEP_S)
    if steps < 1 or abs(steps * PHYSICS_STEP_S * profile.state_rate_hz - 1.0) > 1e-6:
        raise CalibrationError(
            f"profile {profile.name}: state_rate_hz is {profile.state_rate_hz:g}; the simulation needs "
            f"{1.0 / PHYSICS_STEP_S:g} Hz divided by a whole number"
        )
    return steps * PHYSICS_STEP_S
