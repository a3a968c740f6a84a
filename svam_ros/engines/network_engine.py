"""What every engine with a network does around a pass: text to tokens, frame to arrays, actions to rad.

An engine adds two things: how an instruction is encoded, and how one pass is run.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from svam_ros.artifacts.manifest import Manifest
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer, TokenizedInstruction
from svam_ros.engines.observation_checks import check_observation, check_prefix
from svam_ros.engines.policy_engine import DeviceFailed, Prediction, PredictionRefused
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.svam import Svam
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.translation.preprocessing import ModelInput, prepare_observation
from svam_ros.types import FloatArray, Observation

WARM_UP_PASSES = 3
WARM_UP_S = 2.0
"""No further warm-up pass after this time: what a first pass costs more is lost in passes of seconds."""


class EngineModel(Protocol):
    """What an engine needs of a model: a directory's, or one with random weights."""

    @property
    def manifest(self) -> Manifest:
        """Configuration, image preparation, horizons."""

    @property
    def statistics(self) -> Statistics:
        """How joints and actions are normalised."""

    @property
    def tokenizer(self) -> InstructionTokenizer:
        """The words that the model knows."""

    def load_network(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Svam:
        """The network with its weights, in evaluation mode."""


@dataclass(frozen=True)
class Noise:
    """What the network starts from; standard normal, batch size 1."""

    latent: NDArray[np.float32]
    """``(1, *config.latent_noise_shape)``."""
    action: NDArray[np.float32]
    """``(1, *config.action_noise_shape)``."""


@dataclass(frozen=True)
class PassInputs:
    """What one pass takes besides the instruction."""

    image: NDArray[np.float32]
    """``(1, 3, image_size, image_size)`` in [-1, 1]."""
    joints: NDArray[np.float32] | None
    """``(1, action_dim)`` normalised; ``None`` without proprioception."""
    noise: Noise
    prefix: NDArray[np.float32] | None
    """``(n, action_dim)`` normalised actions that are committed already; ``None``: there are none."""


class NetworkEngine(ABC):
    """An engine with a network in it; see :class:`svam_ros.engines.policy_engine.PolicyEngine`.

    Args:
        model: a verified model directory, or a :class:`svam_ros.engines.random_model.RandomModel`.
        seed: of the noise, which is the same for every engine, device and precision.
        noise: ``fixed`` draws it once, ``fresh`` before every pass.
        timer: the stopwatch of the passes.
    """

    name: str

    def __init__(
        self, model: EngineModel, *, seed: int, noise: Literal["fixed", "fresh"], timer: StageTimer
    ) -> None:
        manifest = model.manifest
        self.model_name = manifest.name
        self.horizon = manifest.horizon
        self.step_s = manifest.step_s
        self.forward_s = 0.0
        self._model = model
        self._config = manifest.config
        expert = manifest.config.action_expert
        uses_joints = expert.proprioception or any(model.statistics.relative_to_joints)
        self._joints_needed = expert.action_dim if uses_joints else None
        self._generator = torch.Generator().manual_seed(seed)
        self._fresh_noise = noise == "fresh"
        self._noise = self._draw_noise()
        self._instruction: str | None = None
        self._timer = timer

    @abstractmethod
    def _encode(self, tokens: TokenizedInstruction) -> None:
        """Keep what the passes need of the instruction."""

    @abstractmethod
    def _run(self, inputs: PassInputs) -> FloatArray:
        """``(pred_horizon, action_dim)`` normalised actions, under the instruction encoded last."""

    @abstractmethod
    def close(self) -> None:
        """Free memory and devices. The engine cannot be used afterwards."""

    def warm_up(self) -> None:
        """Run the whole network on an empty image a few times; nothing of it is kept."""
        config = self._config
        size = config.image_encoder.image_size
        model_input = ModelInput(
            np.zeros((3, size, size), np.float32), np.zeros(config.action_expert.action_dim, np.float32)
        )
        token_ids = np.full((1, config.text.length), config.text.eos_id, np.int64)
        started = time.perf_counter()
        self._instruction = None
        self._encode(TokenizedInstruction(token_ids, np.ones_like(token_ids)))
        for _ in range(WARM_UP_PASSES):
            began = time.perf_counter()
            self._run(PassInputs(model_input.image[None], self._joints(model_input), self._noise, None))
            self.forward_s = time.perf_counter() - began
            if began + self.forward_s - started > WARM_UP_S:
                break
        self._timer.reset()

    def set_instruction(self, text: str) -> None:
        """Encode the instruction; see :class:`svam_ros.engines.policy_engine.PolicyEngine`."""
        self._instruction = None
        try:
            tokens = self._model.tokenizer.encode(text)
        except InstructionError as error:
            raise PredictionRefused(str(error)) from error
        with _naming_a_lost_device():
            self._encode(tokens)
        self._instruction = text

    def infer(self, observation: Observation, prefix: FloatArray | None = None) -> Prediction:
        """One pass; see :class:`svam_ros.engines.policy_engine.PolicyEngine`."""
        check_observation(observation, self._joints_needed)
        check_prefix(prefix, self.horizon.longest_prefix, len(self._model.manifest.joint_names))
        self._timer.reset()
        if observation.instruction != self._instruction:
            self.set_instruction(observation.instruction)
        with self._timer.stage("preprocess"):
            model_input = prepare_observation(observation, self._model.manifest.image)
            noise = self._draw_noise() if self._fresh_noise else self._noise
            inputs = PassInputs(
                model_input.image[None],
                self._joints(model_input),
                noise,
                self._normalised_prefix(prefix, observation),
            )
        with _naming_a_lost_device():
            normalised = self._run(inputs)
        actions = self._model.statistics.denormalise_actions(normalised, observation.arms.positions)
        if not np.all(np.isfinite(actions)):
            raise PredictionRefused(
                f"model '{self.model_name}' gave actions that are not finite for the frame of "
                f"{observation.stamp_ns} ns; if it happens again, the model is broken"
            )
        return Prediction(actions, self._timer.durations_ms(), model_input.digest())

    def _joints(self, model_input: ModelInput) -> NDArray[np.float32] | None:
        if not self._config.action_expert.proprioception:
            return None
        normalised = self._model.statistics.normalise_joints(model_input.joints.astype(np.float64))
        return normalised.astype(np.float32)[None]

    def _normalised_prefix(
        self, prefix: FloatArray | None, observation: Observation
    ) -> NDArray[np.float32] | None:
        if prefix is None or len(prefix) == 0:
            return None
        normalised = self._model.statistics.normalise_actions(prefix, observation.arms.positions)
        return normalised.astype(np.float32)

    def _draw_noise(self) -> Noise:
        """Drawn by torch on the CPU, latent noise first, so that a seed means the same for every engine."""
        latent, action = self._config.latent_noise_shape, self._config.action_noise_shape
        return Noise(
            torch.randn(1, *latent, generator=self._generator).numpy(),
            torch.randn(1, *action, generator=self._generator).numpy(),
        )


@contextmanager
def _naming_a_lost_device() -> Iterator[None]:
    """An illegal access, say, poisons the process's context for good (CUDA's sticky errors)."""
    try:
        yield
    except torch.AcceleratorError as error:
        raise DeviceFailed(str(error).partition("\n")[0]) from error
