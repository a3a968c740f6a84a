"""The simulated Cobot as a plain class: commands in, joint states and snapshots out.

Physics runs only inside :meth:`CobotSimulation.step`; nothing here looks at a clock. The same
task, seed and commands give the same states bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from svam_ros.cobot import ARM_NAMES, Cobot
from svam_ros.simulation.appearance import NOMINAL, Appearance
from svam_ros.simulation.arm_driver import ArmDriver, DriverReport, DriverSettings, JointCommand
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.scene_model import PHYSICS_STEP_S, shipped_cobot
from svam_ros.simulation.scene_objects import kinds_of, scene_with
from svam_ros.simulation.start_poses import StartPoses
from svam_ros.simulation.tasks import SUCCESS_HOLD_S, find_task
from svam_ros.types import FloatArray


@dataclass(frozen=True)
class ArmReading14:
    """Both arms as measured, in the order of :class:`svam_ros.cobot.Cobot`; arrays are ``(14,)``."""

    positions: FloatArray
    """rad, m of gripper opening."""
    velocities: FloatArray
    """rad/s, m/s."""
    efforts: FloatArray
    """N m, N."""


@dataclass(frozen=True)
class SceneSnapshot:
    """All that a picture depends on, copied out of the physics: safe to hand to another thread."""

    kinds: tuple[str, ...]
    """What is on the table; with it the model is known, see ``scene_objects``."""
    time_s: float
    generalised_positions: FloatArray
    """``(nq,)`` of that model, read-only."""
    appearance: Appearance = NOMINAL
    """Light, colours and the camera's place."""


class CobotSimulation:
    """Two arms at a table with a task's objects, driven by their drivers.

    Args:
        task: name of a task.
        seed: draws the objects' start poses.
        cobot: the embodiment; default is the one in ``calibration/``. The arms start at its home.
        drivers: settings of the two drivers; default has our own joint names and no quirks.
        shared: whether other tasks are possible in the scene too; see :meth:`reset`.
        appearance: how the scene looks; see :meth:`reset`.

    Raises:
        UnknownTaskError: no such task.
    """

    def __init__(
        self,
        task: str,
        seed: int,
        cobot: Cobot | None = None,
        drivers: dict[str, DriverSettings] | None = None,
        *,
        shared: bool = False,
        appearance: Appearance = NOMINAL,
    ) -> None:
        self.cobot = cobot or shipped_cobot()
        self._settings = drivers or {
            arm: DriverSettings(self.cobot.joint_names[self.cobot.arm_slice(arm)]) for arm in ARM_NAMES
        }
        self.reset(task, seed, shared=shared, appearance=appearance)

    def reset(self, task: str, seed: int, *, shared: bool = False, appearance: Appearance = NOMINAL) -> None:
        """Start over: arms at home and at rest, objects where ``seed`` puts them, time 0.

        Args:
            task: name of a task.
            seed: draws what is on the table and where.
            shared: draw a scene in which other tasks are possible too, the same for all that share it;
                else there is nothing but what the task needs.
            appearance: light, colours and the camera's place; no part of the physics.

        Raises:
            UnknownTaskError: no such task.
        """
        self.task = find_task(task)
        self.seed, self.shared, self.appearance = seed, shared, appearance
        draw = self.task.draw_shared if shared else self.task.draw_poses
        poses = draw(np.random.default_rng(seed))
        self.kinds = kinds_of(poses)
        """What is on the table."""
        self.model: Any = scene_with(self.kinds)
        """``MjModel``; shared, not to be changed."""
        self.data: Any = mujoco.MjData(self.model)
        """``MjData``; belongs to the thread that steps."""
        self._map_joints()
        limits, home = self.cobot.limits, self.cobot.home
        self.drivers: dict[str, ArmDriver] = {}
        for arm in ARM_NAMES:
            row = self.cobot.arm_slice(arm)
            self.drivers[arm] = ArmDriver(
                self._settings[arm], limits.lower[row], limits.upper[row], home[row]
            )
        self._set_arms(home)
        self._place_objects(poses)
        self.data.ctrl[self._actuators] = home * self._to_joint
        mujoco.mj_forward(self.model, self.data)
        self._done_for_s = 0.0

    def command(self, arm: str, command: JointCommand) -> None:
        """Give the driver of ``"left"`` or ``"right"`` a command that it must not refuse.

        Raises:
            ValueError: the arm's driver refused it.
        """
        driver = self.drivers[arm]
        if not driver.receive(command):
            raise ValueError(
                f"the {arm} arm's driver refused {command.positions}; refusals so far: {dict(driver.refused)}"
            )

    def pose_arms(self, positions: FloatArray) -> None:
        """Put both arms somewhere at once, whatever they then touch; for pictures, not for motion.

        Args:
            positions: ``(14,)`` rad, m of gripper opening.
        """
        self._set_arms(positions)
        mujoco.mj_forward(self.model, self.data)

    def step(self, duration_s: float = 0.005) -> None:
        """Let ``duration_s`` pass.

        Raises:
            ValueError: it is not a whole number of physics steps.
        """
        steps = round(duration_s / PHYSICS_STEP_S)
        if steps < 1 or not math.isclose(steps * PHYSICS_STEP_S, duration_s, rel_tol=1e-6):
            raise ValueError(f"duration_s is {duration_s}, must be a multiple of {PHYSICS_STEP_S} above 0")
        for _ in range(steps):
            set_points = np.concatenate([self.drivers[arm].advance(PHYSICS_STEP_S) for arm in ARM_NAMES])
            self.data.ctrl[self._actuators] = set_points * self._to_joint
            mujoco.mj_step(self.model, self.data)
        self._done_for_s = self._done_for_s + duration_s if self.task.is_done(self.model, self.data) else 0.0

    @property
    def time_s(self) -> float:
        """Time since the reset."""
        return float(self.data.time)

    @property
    def instruction(self) -> str:
        """What the policy is asked to do."""
        return self.task.instruction

    def arm_state(self) -> ArmReading14:
        """Positions, velocities and efforts of the 14 joints now."""
        positions = self.data.qpos[self._position_entries] / self._to_joint
        velocities = self.data.qvel[self._velocity_entries] / self._to_joint
        return ArmReading14(positions, velocities, self.data.actuator_force[self._actuators].copy())

    def driver_report(self, arm: str) -> DriverReport:
        """What the driver of ``"left"`` or ``"right"`` publishes now."""
        row, state = self.cobot.arm_slice(arm), self.arm_state()
        return self.drivers[arm].report(state.positions[row], state.velocities[row], state.efforts[row])

    def success(self) -> bool:
        """Whether the task has been done for the last 0.3 s, up to now."""
        return self._done_for_s >= SUCCESS_HOLD_S - 1e-9

    def fraction(self) -> float:
        """How much of the task is done now, 0 to 1: for ``pour`` the share of the beads in the bowl."""
        return self.task.fraction(self.model, self.data)

    def snapshot(self) -> SceneSnapshot:
        """An immutable copy of the scene for a renderer."""
        positions: FloatArray = self.data.qpos.copy()
        positions.setflags(write=False)
        return SceneSnapshot(self.kinds, self.time_s, positions, self.appearance)

    def displace(self, body: str, way_m: tuple[float, float], turn_rad: float) -> None:
        """Move an object along the table and turn it about the vertical, whatever it then touches.

        Args:
            body: a body that moves freely, such as "pot".
            way_m: along the robot's x and y axis.
            turn_rad: counter-clockwise as seen from above.
        """
        pose = self.data.joint(body).qpos
        half = turn_rad / 2
        turned = np.empty(4)
        mujoco.mju_mulQuat(turned, np.array([math.cos(half), 0.0, 0.0, math.sin(half)]), pose[3:])
        self.data.joint(body).qpos = [pose[0] + way_m[0], pose[1] + way_m[1], pose[2], *turned]
        mujoco.mj_forward(self.model, self.data)

    def _map_joints(self) -> None:
        names, model = self.cobot.joint_names, self.model
        mirrors = [f"{names[index]}_mirror" for index in self.cobot.gripper_indices]
        self._position_entries = np.array([int(model.joint(name).qposadr[0]) for name in names])
        self._velocity_entries = np.array([int(model.joint(name).dofadr[0]) for name in names])
        self._mirror_entries = np.array([int(model.joint(name).qposadr[0]) for name in mirrors])
        self._actuators = np.array([model.actuator(name).id for name in names])
        # A gripper's number is the opening; its joint in the model is the way of one finger.
        self._to_joint = np.ones(len(names))
        self._to_joint[list(self.cobot.gripper_indices)] = 0.5

    def _set_arms(self, positions: FloatArray) -> None:
        self.data.qpos[self._position_entries] = positions * self._to_joint
        self.data.qpos[self._mirror_entries] = positions[list(self.cobot.gripper_indices)] / 2

    def _place_objects(self, poses: StartPoses) -> None:
        for name, pose in poses.items():
            half = pose.yaw_rad / 2
            self.data.joint(name).qpos = [*pose.position_m, math.cos(half), 0.0, 0.0, math.sin(half)]
