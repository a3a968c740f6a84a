"""Closed loop without ROS: how often a model does its task in simulation, on scenes it never saw.

The path is the live one on simulated time: joint states and frames become observations through the
translation that policy_node uses, predictions become chunks that arrive after a given latency, and only
the guard commands the arms, with its timeline, its ramp and its limits. Time stands still while the
network runs, so the figures do not depend on the machine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from svam_ros.cobot import Cobot, RobotProfile, load_cobot, load_robot_profile
from svam_ros.control.chunk_schedule import ChunkSchedule, ScheduleSettings
from svam_ros.control.execution_mode import ExecutionMode, choose_mode
from svam_ros.control.guard import Guard, GuardSettings
from svam_ros.simulation.appearance import NOMINAL, Appearance, draw_appearance
from svam_ros.simulation.cobot_simulation import SceneSnapshot
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.simulated_robot import ArmReport, SimulatedRobot
from svam_ros.translation.images import camera_frame
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.types import ActionChunk, Horizon, ImageArray
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import Policy

RUN_ID = "closed-loop"


@dataclass(frozen=True)
class Attempt:
    """How one attempt at a task ended."""

    task: str
    seed: int
    """Of the scene."""
    success: bool
    steps: int
    """Control steps, fresh or stalled, from the first fresh one until the success test held or the end."""
    fraction: float | None = None
    """How much of the task was done at the end, 0 to 1; ``None`` where that was not looked at."""


class ClosedLoop:
    """One attempt on one scene, from the engage on.

    Args:
        policy: predicts; its :meth:`Policy.start` has been called.
        camera: draws frames of the size that the profile's camera has.
        robot: at its reset.
        settings: latency and rates.
        frames: gets every picture that the policy sees.

    Raises:
        RuntimeError: the guard refuses to engage.
    """

    def __init__(
        self,
        policy: Policy,
        camera: FrontCamera,
        robot: SimulatedRobot,
        settings: LoopSettings,
        frames: list[ImageArray] | None = None,
    ) -> None:
        self._policy, self._camera, self._robot, self._settings = policy, camera, robot, settings
        self._frames = frames
        self._step_ns = round(robot.cobot.control_period_s * 1e9)
        self._latency_ns = round(settings.latency_ms * 1e6)
        self._tick_s = 1.0 / robot.profile.command_rate_hz
        self._assembler = ObservationAssembler(settings.max_joint_age_ms)
        self._guard = Guard(
            robot.cobot,
            GuardSettings(
                tick_rate_hz=robot.profile.command_rate_hz, ramp_speed_fraction=settings.ramp_speed_fraction
            ),
        )
        self._schedule = ChunkSchedule(schedule_settings(policy.horizon, robot.cobot, settings))
        self._scene: tuple[int, SceneSnapshot] | None = None
        self._idle_from_ns = robot.now_ns
        self._underway: deque[tuple[int, ActionChunk]] = deque()
        self._sequence = 0
        self._take_in(robot.report())
        refusals = self._guard.engage(robot.now_ns)
        if refusals:
            raise RuntimeError(f"the guard does not engage: {'; '.join(map(str, refusals))}")

    @property
    def steps(self) -> int:
        """Control steps since the first fresh one."""
        status = self._guard.status(self._robot.now_ns)
        return status.steps_executed + status.steps_stalled

    def advance(self) -> None:
        """Let one period of the set-points pass."""
        robot = self._robot
        idle = self._scene is None and robot.now_ns >= self._idle_from_ns
        if idle and self._schedule.may_look(robot.now_ns):
            self._scene = robot.now_ns, robot.snapshot()
            self._idle_from_ns = robot.now_ns + self._latency_ns
        self._take_in(robot.advance(self._tick_s))
        self._predict()
        now_ns = robot.now_ns
        while self._underway and self._underway[0][0] <= now_ns:
            self._guard.submit(self._underway.popleft()[1], 0, now_ns)
        command = self._guard.tick(now_ns)
        if command is not None:
            robot.send(command.positions, command.velocities)

    def _take_in(self, reports: list[ArmReport]) -> None:
        for arm, reading in reports:
            self._assembler.add_reading(arm, reading)
            self._guard.observe_arm(arm, reading, 0, self._robot.now_ns)

    def _predict(self) -> None:
        """Predict from the scene that waits, once both arms have reported past it."""
        if self._scene is None or not self._assembler.is_complete(self._scene[0]):
            return
        (stamp_ns, snapshot), self._scene = self._scene, None
        frame = camera_frame(self._camera.render(snapshot), stamp_ns, self._robot.profile.camera)
        if self._frames is not None:
            self._frames.append(frame.rgb)
        observation = self._assembler.observe(frame, self._robot.simulation.instruction)
        prefix = self._schedule.begin(stamp_ns, self._latency_ns, observation.arms.positions)
        prediction = self._policy.predict(observation, prefix)
        placed = self._schedule.place(prediction, stamp_ns, self._latency_ns, observation.instruction)
        if placed is None:
            return
        self._sequence += 1
        step_s = self._robot.cobot.control_period_s
        chunk = ActionChunk(placed.actions, stamp_ns, placed.first_step, step_s, RUN_ID, self._sequence)
        self._underway.append((stamp_ns + self._latency_ns, chunk))


def execution_mode(horizon: Horizon, settings: LoopSettings) -> ExecutionMode:
    """The mode that the loop runs in.

    Raises:
        ExecutionModeError: horizon and latency do not carry the one that the settings want.
    """
    latency_ns = round((settings.latency_ms + settings.publish_lead_ms) * 1e6)
    return choose_mode(settings.mode, horizon, latency_ns, round(load_cobot().control_period_s * 1e9))


def schedule_settings(horizon: Horizon, cobot: Cobot, settings: LoopSettings) -> ScheduleSettings:
    """What the loop's schedule runs with.

    Raises:
        ExecutionModeError: as :func:`execution_mode`.
    """
    lead_ns = round(settings.publish_lead_ms * 1e6)
    return ScheduleSettings(
        mode=execution_mode(horizon, settings),
        horizon=horizon,
        step_ns=round(cobot.control_period_s * 1e9),
        replan_steps=settings.replan_steps,
        publish_lead_ns=lead_ns,
        older_weight=settings.older_weight,
        is_arm_joint=cobot.is_arm_joint,
        first_latency_ns=round(settings.latency_ms * 1e6) + lead_ns,
    )


def attempt(
    policy: Policy,
    camera: FrontCamera,
    task: str,
    seed: int,
    settings: LoopSettings,
    frames: list[ImageArray] | None = None,
) -> Attempt:
    """One attempt, until success or the end of its time.

    Args:
        policy: predicts.
        camera: draws what it sees.
        task: what there is to do.
        seed: of the scene.
        settings: of the loop.
        frames: gets every picture that the policy saw, ``(h, w, 3)``.

    Raises:
        RuntimeError: the guard refuses to engage.
    """
    robot = simulated_robot(task, seed, settings)
    policy.start(task, seed)
    loop = ClosedLoop(policy, camera, robot, settings, frames)
    while robot.simulation.time_s < settings.episode_s and not robot.simulation.success():
        loop.advance()
    return Attempt(task, seed, robot.simulation.success(), loop.steps, robot.simulation.fraction())


def simulated_robot(task: str, seed: int, settings: LoopSettings) -> SimulatedRobot:
    """The scene of ``seed`` as the settings want it, at its reset."""
    profile = load_robot_profile(settings.profile)
    looks = appearance(seed, settings)
    return SimulatedRobot(task, seed, profile, shared=settings.shared_scenes, appearance=looks)


def appearance(seed: int, settings: LoopSettings) -> Appearance:
    """How the scene of ``seed`` looks."""
    return draw_appearance(seed) if settings.varied_looks else NOMINAL


def front_camera(profile: RobotProfile) -> FrontCamera:
    """A renderer for frames as the profile's camera has them."""
    return FrontCamera(profile.camera.width, profile.camera.height)
