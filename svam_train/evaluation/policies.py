"""What predicts in a closed loop: a model, and the baselines beside which it has to be seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from svam_ros.cobot import load_cobot
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine, PredictionRefused
from svam_ros.parameters import EngineName
from svam_ros.simulation.tasks import find_task
from svam_ros.types import CameraFrame, FloatArray, Horizon, Observation
from svam_train.episodes.episode_files import open_episode_file
from svam_train.evaluation.loop_settings import PolicyName

if TYPE_CHECKING:
    from svam_ros.engines.network_engine import EngineModel

RANDOM_HORIZON = 16
"""Steps in which the random policy reaches the joints that it drew."""


class Policy(Protocol):
    """Something that predicts chunks."""

    horizon: Horizon

    def start(self, task: str, seed: int) -> None:
        """A new attempt begins."""

    def predict(self, observation: Observation, prefix: FloatArray | None) -> FloatArray:
        """``(horizon.pred, 14)`` absolute joint targets for the steps after the observation.

        The prefix ``(n, 14)`` are those of the first ``n``, where they are committed already.
        """


class EnginePolicy:
    """A model directory run by an engine; ``blind`` shows it a black image.

    Raises:
        ValueError: the model's control step is not the robot's.
    """

    def __init__(self, engine: PolicyEngine, blind: bool = False) -> None:
        period_s = load_cobot().control_period_s
        if abs(engine.step_s - period_s) > 1e-9:
            raise ValueError(
                f"model {engine.model_name} steps every {engine.step_s * 1e3:g} ms, "
                f"the robot every {period_s * 1e3:g} ms: they must agree"
            )
        self.engine = engine
        self.blind = blind
        self.horizon = engine.horizon

    def start(self, task: str, seed: int) -> None:
        """Nothing to prepare: the network keeps no state."""

    def predict(self, observation: Observation, prefix: FloatArray | None) -> FloatArray:
        """One forward pass."""
        if self.blind:
            frame = CameraFrame(np.zeros_like(observation.frame.rgb), observation.frame.stamp_ns)
            observation = replace(observation, frame=frame)
        return self.engine.infer(observation, prefix).actions


class WrongInstructionPolicy(EnginePolicy):
    """The model, told to do another of the tasks than the one that counts.

    Args:
        engine: runs the model.
        tasks: whose sentences it may be told instead, those that the model understands.

    Raises:
        ValueError: the model's control step is not the robot's; or, when a task starts, the model
            understands no other sentence.
    """

    def __init__(self, engine: PolicyEngine, tasks: tuple[str, ...]) -> None:
        super().__init__(engine)
        self._sentences = [find_task(name).instruction for name in tasks]
        self._told = ""

    def start(self, task: str, seed: int) -> None:
        """Choose a sentence, by the seed."""
        others = [text for text in self._sentences if text != find_task(task).instruction]
        understood = [text for text in others if self._understands(text)]
        if not understood:
            raise ValueError(
                f"model {self.engine.model_name} understands no instruction but that of '{task}': there is "
                f"no wrong one to give it"
            )
        self._told = understood[seed % len(understood)]

    def predict(self, observation: Observation, prefix: FloatArray | None) -> FloatArray:
        """One forward pass under the wrong sentence."""
        return super().predict(replace(observation, instruction=self._told), prefix)

    def _understands(self, text: str) -> bool:
        try:
            self.engine.set_instruction(text)
        except PredictionRefused:
            return False
        return True


class ReplayPolicy:
    """The open-loop baseline: replays a demonstration of the task, whatever it sees.

    Args:
        demonstrations: folder of demonstrations.
        horizon: steps predicted at once, and sent.

    Raises:
        ValueError: when a task starts: the folder has no demonstrations of it, or one is damaged.
    """

    def __init__(self, demonstrations: Path, horizon: Horizon) -> None:
        self._folder = demonstrations
        self.horizon = replace(horizon, longest_prefix=0)
        self._step_ns = round(load_cobot().control_period_s * 1e9)
        self._targets: FloatArray = np.empty((0, 0))
        self._first_stamp_ns: int | None = None

    def start(self, task: str, seed: int) -> None:
        """Pick the attempt's demonstration by its seed."""
        paths = sorted(self._folder.glob(f"{task}_[0-9]*.npz"))
        if not paths:
            raise ValueError(f"{self._folder} has no demonstrations of '{task}' to replay")
        chosen = paths[int(np.random.default_rng(seed).integers(len(paths)))]
        self._targets = open_episode_file(chosen).targets.astype(np.float64)
        self._first_stamp_ns = None

    def predict(self, observation: Observation, prefix: FloatArray | None) -> FloatArray:
        """The demonstration, begun at the first observation; its last row once it is over."""
        if self._first_stamp_ns is None:
            self._first_stamp_ns = observation.stamp_ns
        step = round((observation.stamp_ns - self._first_stamp_ns) / self._step_ns)
        rows = np.minimum(step + np.arange(self.horizon.pred), len(self._targets) - 1)
        return self._targets[rows]


class RandomPolicy:
    """Moves both arms to joints drawn anew for every chunk, anywhere within their limits."""

    def __init__(self, horizon: Horizon) -> None:
        limits = load_cobot().limits
        self._lower, self._upper = limits.lower, limits.upper
        self._random = np.random.default_rng(0)
        self.horizon = Horizon(RANDOM_HORIZON, min(horizon.exec, RANDOM_HORIZON))

    def start(self, task: str, seed: int) -> None:
        """Draws follow from the seed."""
        self._random = np.random.default_rng((seed, 3))

    def predict(self, observation: Observation, prefix: FloatArray | None) -> FloatArray:
        """A straight way from the measured joints to those drawn."""
        share = np.linspace(0.0, 1.0, RANDOM_HORIZON + 1)[1:, None]
        drawn = self._random.uniform(self._lower, self._upper)
        return (1.0 - share) * observation.arms.positions + share * drawn


@dataclass(frozen=True)
class PolicyChoice:
    """Which policy, as plain values that another process can be given."""

    kind: PolicyName
    model: str | EngineModel
    """A model directory, the name of one that ships, or a model that is open already and can be pickled; the
    baselines take their horizons from it."""
    engine: EngineName
    demonstrations: Path
    """For ``replay``."""
    tasks: tuple[str, ...]
    """Whose sentences ``wrong_instruction`` may choose from."""

    def make(self) -> Policy:
        """Open the model where one is needed.

        Raises:
            ValueError: the model cannot be opened, or does not fit the robot.
        """
        if self.kind in ("replay", "random"):
            if self.kind == "random":
                return RandomPolicy(self._horizon())
            return ReplayPolicy(self.demonstrations, self._horizon())
        engine = create_engine(self.engine, self.model)
        if self.kind == "wrong_instruction":
            return WrongInstructionPolicy(engine, self.tasks)
        return EnginePolicy(engine, self.kind == "blind")

    def _horizon(self) -> Horizon:
        from svam_ros.artifacts.model_directory import open_model, resolve_model

        opened = open_model(resolve_model(self.model)) if isinstance(self.model, str) else self.model
        return opened.manifest.horizon
