"""Closed loop without ROS: how often a model does its task in simulation, on scenes it never saw.

Time stands still while the network runs; the latency of the real loop is simulated by using a
prediction only from step ``latency_steps`` on, as the real node does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.types import ArmState, CameraFrame, FloatArray, Observation
from svam_train.demonstration_files import load_demonstration
from svam_train.demonstrations import EVALUATION_SEEDS_FROM, stream_step

STEPS_BY_TASK = {"lift_pot": 175, "place_to_pot": 225}
"""Control steps of 40 ms that an episode may take: about 1.7 times what the expert needs."""


@dataclass(frozen=True)
class Episode:
    """How one attempt ended."""

    task: str
    seed: int
    success: bool
    steps: int
    """Control steps until the success test held, or the limit."""


class Policy(Protocol):
    """Something that predicts chunks."""

    def start(self, task: str, seed: int) -> None:
        """A new episode begins."""

    def predict(self, observation: Observation) -> FloatArray:
        """``(horizon, 14)`` absolute joint targets for the steps after the observation."""


@dataclass
class EnginePolicy:
    """A model directory run by an engine; ``blind`` shows it a black image."""

    engine: PolicyEngine
    blind: bool = False

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

    Raises:
        ValueError: the folder has no demonstrations of a task, when that task starts.
    """

    def __init__(self, demonstrations: Path, horizon: int) -> None:
        self._folder = demonstrations
        self._horizon = horizon
        self._targets: FloatArray = np.empty((0, 14))

    def start(self, task: str, seed: int) -> None:
        """Pick the episode's demonstration by its seed."""
        paths = sorted(self._folder.glob(f"{task}_*.npz"))
        if not paths:
            raise ValueError(f"{self._folder} has no demonstrations of '{task}' to replay")
        chosen = paths[int(np.random.default_rng(seed).integers(len(paths)))]
        self._targets = load_demonstration(chosen).targets.astype(np.float64)

    def predict(self, observation: Observation) -> FloatArray:
        """The demonstration from the observation's time on; its last row once it is over."""
        step = round(observation.stamp_ns * 1e-9 / 0.04)
        rows = np.minimum(step + np.arange(self._horizon), len(self._targets) - 1)
        return self._targets[rows]


def run_episode(
    policy: Policy,
    camera: FrontCamera,
    task: str,
    seed: int,
    *,
    exec_horizon: int,
    latency_steps: int,
) -> Episode:
    """One attempt: a prediction every ``exec_horizon`` steps, used from ``latency_steps`` on."""
    simulation = CobotSimulation(task, seed)
    policy.start(task, seed)
    before = simulation.cobot.home
    limit = STEPS_BY_TASK[task]
    plan = np.tile(before, (limit + 64, 1))
    for step in range(limit):
        if step % exec_horizon == 0:
            prediction = policy.predict(_observe(simulation, camera))
            first = step + latency_steps
            usable = prediction[latency_steps:]
            plan[first : first + len(usable)] = usable
            plan[first + len(usable) :] = usable[-1]
        stream_step(simulation, before, plan[step])
        before = np.clip(plan[step], simulation.cobot.limits.lower, simulation.cobot.limits.upper)
        if simulation.success():
            return Episode(task, seed, success=True, steps=step + 1)
    return Episode(task, seed, success=False, steps=limit)


def evaluate(
    policy: Policy, tasks: Iterable[str], episodes: int, *, exec_horizon: int, latency_steps: int
) -> Iterator[Episode]:
    """``episodes`` unseen scenes of every task, the same ones at every call.

    Raises:
        RenderingUnavailableError: no OpenGL context can be made.
    """
    with FrontCamera() as camera:
        for task in tasks:
            for seed in range(EVALUATION_SEEDS_FROM, EVALUATION_SEEDS_FROM + episodes):
                yield run_episode(
                    policy, camera, task, seed, exec_horizon=exec_horizon, latency_steps=latency_steps
                )


def engine_policy(model: Path | str, *, blind: bool = False) -> EnginePolicy:
    """A model directory, or the name of a shipped model, on the reference engine."""
    return EnginePolicy(create_engine("eager", model), blind)


def _observe(simulation: CobotSimulation, camera: FrontCamera) -> Observation:
    stamp_ns = round(simulation.time_s * 1e9)
    reading = simulation.arm_state()
    return Observation(
        CameraFrame(camera.render(simulation.snapshot()), stamp_ns),
        ArmState(reading.positions, reading.velocities, stamp_ns, stamp_ns),
        simulation.instruction,
    )
