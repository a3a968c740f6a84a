"""The reference engine: the network in torch, call by call, on a CPU or a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from svam_ros.artifacts.manifest import Manifest
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.engines.observation_checks import check_observation, check_prefix
from svam_ros.engines.policy_engine import DeviceMemoryExhausted, Prediction, PredictionRefused
from svam_ros.engines.stages import StageInputs, run_stages
from svam_ros.networks.action_expert import GivenActions
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.svam import InstructionCondition, Svam
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.translation.preprocessing import ModelInput, prepare_observation
from svam_ros.types import FloatArray, Observation

WARM_UP_PASSES = 3
WARM_UP_S = 2.0
"""No further warm-up pass after this time: what a first pass costs more is lost in passes of seconds."""


class EngineModel(Protocol):
    """What the engine needs of a model: a directory's, or one with random weights."""

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


class EagerEngine:
    """Runs the stages of :class:`svam_ros.networks.svam.Svam` one by one and times each.

    Args:
        model: a verified model directory, or a :class:`svam_ros.engines.random_model.RandomModel`.
        seed: of the noise, which is the same for every device and precision.
        noise: ``fixed`` draws it once, ``fresh`` before every pass.
        threads: CPU threads, for the whole process.
        device: where the network runs.
        dtype: in which it runs; images, joints and actions outside it keep their precision.

    Raises:
        ModelDirectoryError: the weights cannot be loaded.
    """

    name = "eager"

    def __init__(
        self,
        model: EngineModel,
        *,
        seed: int = 0,
        noise: Literal["fixed", "fresh"] = "fixed",
        threads: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        torch.set_num_threads(threads)
        manifest = model.manifest
        self.model_name = manifest.name
        self.horizon = manifest.horizon
        self.forward_s = 0.0
        self.step_s = manifest.step_s
        self._model = model
        expert = manifest.config.action_expert
        uses_joints = expert.proprioception or any(model.statistics.relative_to_joints)
        self._joints_needed = expert.action_dim if uses_joints else None
        self._device = torch.device(device)
        self._dtype = dtype
        self._network: Svam = model.load_network(dtype, self._device).prepare_for_inference()
        self._generator = torch.Generator().manual_seed(seed)
        self._fresh_noise = noise == "fresh"
        self._noise = self._draw_noise()
        self._instruction: str | None = None
        self._condition: InstructionCondition | None = None
        self._timer = StageTimer(torch.cuda.synchronize if self._device.type == "cuda" else None)

    def warm_up(self) -> None:
        """Run the whole network on an empty image a few times; nothing of it is kept."""
        config = self._network.config
        size = config.image_encoder.image_size
        model_input = ModelInput(
            np.zeros((3, size, size), np.float32), np.zeros(config.action_expert.action_dim, np.float32)
        )
        token_ids = torch.full((1, config.text.length), config.text.eos_id, device=self._device)
        started = time.perf_counter()
        with torch.inference_mode():
            condition = self._network.encode_instruction(token_ids, torch.ones_like(token_ids))
            for _ in range(WARM_UP_PASSES):
                began = time.perf_counter()
                self._run(model_input, condition, self._noise, None).cpu()
                self.forward_s = time.perf_counter() - began
                if began + self.forward_s - started > WARM_UP_S:
                    break
        self._timer.reset()

    def set_instruction(self, text: str) -> None:
        """Encode the instruction; see :class:`svam_ros.engines.policy_engine.PolicyEngine`."""
        self._instruction = self._condition = None
        try:
            tokens = self._model.tokenizer.encode(text)
        except InstructionError as error:
            raise PredictionRefused(str(error)) from error
        with torch.inference_mode():
            self._condition = self._network.encode_instruction(
                torch.from_numpy(tokens.token_ids).to(self._device),
                torch.from_numpy(tokens.attention_mask).to(self._device),
            )
        self._instruction = text

    def infer(self, observation: Observation, prefix: FloatArray | None = None) -> Prediction:
        """One pass; see :class:`svam_ros.engines.policy_engine.PolicyEngine`."""
        check_observation(observation, self._joints_needed)
        check_prefix(prefix, self.horizon.longest_prefix, len(self._model.manifest.joint_names))
        self._timer.reset()
        if observation.instruction != self._instruction:
            self.set_instruction(observation.instruction)
        assert self._condition is not None
        with torch.inference_mode():
            with self._timer.stage("preprocess"):
                model_input = prepare_observation(observation, self._model.manifest.image)
                noise = self._draw_noise() if self._fresh_noise else self._noise
            given = self._given(prefix, observation)
            condition = self._condition
            normalised = self._with_memory(lambda: self._run(model_input, condition, noise, given))
        actions = self._model.statistics.denormalise_actions(
            normalised[0].double().cpu().numpy(), observation.arms.positions
        )
        if not np.all(np.isfinite(actions)):
            raise PredictionRefused(
                f"model '{self.model_name}' gave actions that are not finite for the frame of "
                f"{observation.stamp_ns} ns; if it happens again, the model is broken"
            )
        return Prediction(actions, self._timer.durations_ms(), model_input.digest())

    def close(self) -> None:
        """Drop the network."""
        self._instruction = self._condition = None
        del self._network

    def _with_memory(self, run: Callable[[], Tensor]) -> Tensor:
        """What ``run`` gives; without memory on the device, once more without what torch keeps for later."""
        try:
            return run()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        self._timer.reset()
        try:
            return run()
        except torch.OutOfMemoryError as error:
            raise DeviceMemoryExhausted(f"{self._device}: {error}") from error

    def _run(
        self,
        model_input: ModelInput,
        condition: InstructionCondition,
        noise: tuple[Tensor, Tensor],
        given: GivenActions | None,
    ) -> Tensor:
        """``(1, pred_horizon, action_dim)`` normalised actions."""
        with self._timer.stage("preprocess"):
            image = self._to_network(torch.from_numpy(model_input.image)[None])
            inputs = StageInputs(image, condition, self._joints(model_input), *noise, given)
        return run_stages(self._network, inputs, self._timer.stage).actions

    def _joints(self, model_input: ModelInput) -> Tensor | None:
        if not self._network.config.action_expert.proprioception:
            return None
        normalised = self._model.statistics.normalise_joints(model_input.joints.astype(np.float64))
        return self._to_network(torch.from_numpy(normalised.astype(np.float32))[None])

    def _given(self, prefix: FloatArray | None, observation: Observation) -> GivenActions | None:
        if prefix is None or len(prefix) == 0:
            return None
        normalised = self._model.statistics.normalise_actions(prefix, observation.arms.positions)
        actions = torch.zeros(1, self.horizon.pred, prefix.shape[1])
        actions[0, : len(prefix)] = torch.from_numpy(normalised)
        return GivenActions.first(self._to_network(actions), len(prefix))

    def _draw_noise(self) -> tuple[Tensor, Tensor]:
        """Latent noise and action noise, in this order, with batch size 1.

        Drawn in single precision on the CPU, so that a seed means the same noise for every engine.
        """
        config = self._network.config
        latent = torch.randn(1, *config.latent_noise_shape, generator=self._generator)
        action = torch.randn(1, *config.action_noise_shape, generator=self._generator)
        return self._to_network(latent), self._to_network(action)

    def _to_network(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self._device, dtype=self._dtype)
