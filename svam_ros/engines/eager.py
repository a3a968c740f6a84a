"""The reference engine: the network in torch, call by call, in single precision on the CPU."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.artifacts.tokenizer import InstructionError
from svam_ros.engines.policy_engine import Prediction, PredictionRefused
from svam_ros.networks.svam import InstructionCondition, Svam
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.translation.preprocessing import ModelInput, prepare_observation
from svam_ros.types import Observation

WARM_UP_PASSES = 3


class EagerEngine:
    """Runs the stages of :class:`svam_ros.networks.svam.Svam` one by one and times each.

    Args:
        model: a verified model directory.
        seed: of the noise.
        noise: ``fixed`` draws it once, ``fresh`` before every pass.
        threads: CPU threads, for the whole process.

    Raises:
        ModelDirectoryError: the weights cannot be loaded.
    """

    name = "eager"

    def __init__(
        self,
        model: ModelDirectory,
        *,
        seed: int = 0,
        noise: Literal["fixed", "fresh"] = "fixed",
        threads: int = 1,
    ) -> None:
        torch.set_num_threads(threads)
        manifest = model.manifest
        self.model_name = manifest.name
        self.pred_horizon = manifest.pred_horizon
        self.exec_horizon = manifest.exec_horizon
        self.step_s = manifest.step_s
        self._model = model
        self._network: Svam = model.load_network().prepare_for_inference()
        self._generator = torch.Generator().manual_seed(seed)
        self._fresh_noise = noise == "fresh"
        self._noise = self._draw_noise()
        self._instruction: str | None = None
        self._condition: InstructionCondition | None = None
        self._timer = StageTimer()

    def warm_up(self) -> None:
        """Run the whole network on an empty image a few times; nothing of it is kept."""
        config = self._network.config
        size = config.image_encoder.image_size
        model_input = ModelInput(
            np.zeros((3, size, size), np.float32), np.zeros(config.action_expert.action_dim, np.float32)
        )
        token_ids = torch.full((1, config.text.length), config.text.eos_id)
        with torch.inference_mode():
            condition = self._network.encode_instruction(token_ids, torch.ones_like(token_ids))
            for _ in range(WARM_UP_PASSES):
                self._run_stages(model_input, condition, self._noise)
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
                torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.attention_mask)
            )
        self._instruction = text

    def infer(self, observation: Observation) -> Prediction:
        """One pass; see :class:`svam_ros.engines.policy_engine.PolicyEngine`."""
        self._timer.reset()
        if observation.instruction != self._instruction:
            self.set_instruction(observation.instruction)
        assert self._condition is not None
        with torch.inference_mode():
            with self._timer.stage("preprocess"):
                model_input = prepare_observation(observation, self._model.manifest.image)
                noise = self._draw_noise() if self._fresh_noise else self._noise
            normalised = self._run_stages(model_input, self._condition, noise)
        actions = self._model.statistics.denormalise_actions(
            normalised[0].double().numpy(), observation.arms.positions
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

    def _run_stages(
        self, model_input: ModelInput, condition: InstructionCondition, noise: tuple[Tensor, Tensor]
    ) -> Tensor:
        """``(1, pred_horizon, 14)`` normalised actions."""
        network, timer = self._network, self._timer
        latent_noise, action_noise = noise
        with timer.stage("preprocess"):
            image = torch.from_numpy(model_input.image)[None]
            joints = self._joints(model_input)
        with timer.stage("backbone"):
            features = network.backbone(network.encode_image(image), condition, latent_noise)
        with timer.stage("references"):
            references = network.references(image)
        with timer.stage("decouplers"):
            foresight = network.decouple(features, references)
        with timer.stage("uni_perceiver"):
            context = network.perceive(features, foresight)
        with timer.stage("action_expert"):
            return network.act(context, condition, joints, action_noise)

    def _joints(self, model_input: ModelInput) -> Tensor | None:
        if not self._network.config.action_expert.proprioception:
            return None
        normalised = self._model.statistics.normalise_joints(model_input.joints.astype(np.float64))
        return torch.from_numpy(normalised.astype(np.float32))[None]

    def _draw_noise(self) -> tuple[Tensor, Tensor]:
        """Latent noise and action noise, in this order, with batch size 1."""
        config = self._network.config
        latent = torch.randn(1, *config.latent_noise_shape, generator=self._generator)
        action = torch.randn(1, *config.action_noise_shape, generator=self._generator)
        return latent, action
