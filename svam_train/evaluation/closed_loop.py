"""Closed loop without ROS: how often a model does its task in simulation, on scenes it never saw.

The path is the live one on simulated time: joint states and frames become observations through the
translation that policy_node uses, predictions become chunks that arrive after a given latency, and only
the guard commands the arms, with its timeline, its ramp and its limits. Time stands still while the
network runs, so the figures do not depend on the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from svam_ros.cobot import RobotProfile, load_robot_profile
from svam_ros.control.guard import Guard, GuardSettings
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.simulation.cobot_simulation import SceneSnapshot
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.scene_model import shipped_cobot
from svam_ros.simulation.simulated_robot import ArmReport, SimulatedRobot
from svam_ros.translation.chunks import steps_still_due
from svam_ros.translation.images import camera_frame
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.types import ActionChunk, CameraFrame, FloatArray, Observation
from svam_train.demonstrations import EVALUATION_SEEDS_FROM
from svam_train.episodes.demonstration_files import load_demonstration
from svam_train.evaluation.loop_settings import LoopSettings

RUN_ID = "closed-loop"


@dataclass(frozen=True)
class Episode:
    """How one attempt ended."""

    task: str
    seed: int
    success: bool
    steps: int
    """Control steps, fresh or stalled, from the first fresh one until the success test held or the end."""


class Policy(Protocol):
    """Something that predicts chunks."""

    exec_horizon: int
    """Steps that are sent as one chunk."""

    def start(self, task: str, seed: int) -> None:
        """A new episode begins."""

    def predict(self, observation: Observation) -> FloatArray:
        """``(horizon, 14)`` absolute joint targets for the steps after the observation."""


class EnginePolicy:
    """A model directory run by an engine; ``blind`` shows it a black image.

    Raises:
        ValueError: the model's control step is not the robot's.
    """

    def __init__(self, engine: PolicyEngine, blind: bool = False) -> None:
        period_s = shipped_cobot().control_period_s
        if abs(engine.step_s - period_s) > 1e-9:
            raise ValueError(
                f"model {engine.model_name} steps every {engine.step_s * 1e3:g} ms, "
                f"the robot every {period_s * 1e3:g} ms: they must agree"
            )
        self.engine = engine
        self.blind = blind
        self.exec_horizon = engine.exec_horizon

    def start(self, task: str, seed: int) -> None:
        """Nothing to prepare: the network keeps no state."""

    def predict(self, observation: Observation) -> FloatArray:
        """One forward pass."""
        if self.blind:
            frame = CameraFrame(np.zeros_like(observation.frame.rgb), observation.frame.stamp_ns)
            observation = Observation(frame, observation.arms, observation.instruction)
        return self.engine.infer(observation).actions


class ReplayPolicy:
    """The open-loop baseline: replays a demonstration of the task, whatever it sees.

    Args:
        demonstrations: folder of demonstrations.
        pred_horizon: steps predicted at once.
        exec_horizon: of them, steps that are sent.

    Raises:
        ValueError: the folder has no demonstrations of a task, when that task starts.
    """

    def __init__(self, demonstrations: Path, pred_horizon: int, exec_horizon: int) -> None:
        self._folder = demonstrations
        self._horizon = pred_horizon
        self._step_ns = round(shipped_cobot().control_period_s * 1e9)
        self._targets: FloatArray = np.empty((0, 0))
        self._first_stamp_ns: int | None = None
        self.exec_horizon = exec_horizon

    def start(self, task: str, seed: int) -> None:
        """Pick the episode's demonstration by its seed."""
        paths = sorted(self._folder.glob(f"{task}_*.npz"))
        if not paths:
            raise ValueError(f"{self._folder} has no demonstrations of '{task}' to replay")
        chosen = paths[int(np.random.default_rng(seed).integers(len(paths)))]
        self._targets = load_demonstration(chosen).targets.astype(np.float64)
        self._first_stamp_ns = None

    def predict(self, observation: Observation) -> FloatArray:
        """The demonstration, begun at the first observation; its last row once it is over."""
        if self._first_stamp_ns is None:
            self._first_stamp_ns = observation.stamp_ns
        step = round((observation.stamp_ns - self._first_stamp_ns) / self._step_ns)
        rows = np.minimum(step + np.arange(self._horizon), len(self._targets) - 1)
        return self._targets[rows]


class ClosedLoop:
    """One attempt on one scene, from the engage on.

    Args:
        policy: predicts; its :meth:`Policy.start` has been called.
        camera: draws frames of the size that the profile's camera has.
        robot: at its reset.
        settings: latency and rates.

    Raises:
        RuntimeError: the guard refuses to engage.
    """

    def __init__(
        self, policy: Policy, camera: FrontCamera, robot: SimulatedRobot, settings: LoopSettings
    ) -> None:
        self._policy, self._camera, self._robot, self._settings = policy, camera, robot, settings
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
        self._scene: tuple[int, SceneSnapshot] | None = None
        self._next_scene_ns = robot.now_ns
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
        if self._scene is None and robot.now_ns >= self._next_scene_ns:
            self._scene = robot.now_ns, robot.snapshot()
            spacing_ns = max(self._settings.replan_steps * self._step_ns, self._latency_ns)
            self._next_scene_ns = robot.now_ns + spacing_ns
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
        observation = self._assembler.observe(frame, self._robot.simulation.instruction)
        chunk = self._cut(self._policy.predict(observation), stamp_ns)
        if chunk is not None:
            self._underway.append((stamp_ns + self._latency_ns, chunk))

    def _cut(self, prediction: FloatArray, stamp_ns: int) -> ActionChunk | None:
        """The steps that are not past on arrival, as many as are sent; ``None`` where all are."""
        ready_ns = self._latency_ns + round(self._settings.publish_lead_ms * 1e6)
        first, actions = steps_still_due(prediction, ready_ns, self._step_ns, self._policy.exec_horizon)
        if len(actions) == 0:
            return None
        self._sequence += 1
        step_s = self._robot.cobot.control_period_s
        return ActionChunk(actions, stamp_ns, first, step_s, RUN_ID, self._sequence)


def run_episode(policy: Policy, camera: FrontCamera, task: str, seed: int, settings: LoopSettings) -> Episode:
    """One attempt, until success or the end of its time."""
    robot = SimulatedRobot(task, seed, load_robot_profile(settings.profile))
    policy.start(task, seed)
    loop = ClosedLoop(policy, camera, robot, settings)
    while robot.simulation.time_s < settings.episode_s and not robot.simulation.success():
        loop.advance()
    return Episode(task, seed, robot.simulation.success(), loop.steps)


def evaluate(
    policy: Policy, tasks: Iterable[str], episodes: int, settings: LoopSettings
) -> Iterator[Episode]:
    """``episodes`` unseen scenes of every task, the same ones at every call.

    Raises:
        RenderingUnavailableError: no OpenGL context can be made.
    """
    with front_camera(load_robot_profile(settings.profile)) as camera:
        for task in tasks:
            for seed in range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + episodes):
                yield run_episode(policy, camera, task, seed, settings)


def front_camera(profile: RobotProfile) -> FrontCamera:
    """A renderer for frames as the profile's camera has them."""
    return FrontCamera(profile.camera.width, profile.camera.height)


def engine_policy(model: Path | str, *, blind: bool = False) -> EnginePolicy:
    """A model directory, or the name of a shipped model, on the reference engine."""
    return EnginePolicy(create_engine("eager", model), blind)
