"""The reference engine: the network in torch, call by call, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.artifacts.tokenizer import TokenizedInstruction
from svam_ros.engines.network_engine import EngineModel, NetworkEngine, PassInputs
from svam_ros.engines.policy_engine import DeviceMemoryExhausted
from svam_ros.engines.stages import StageInputs, run_stages
from svam_ros.networks.action_expert import GivenActions
from svam_ros.networks.svam import InstructionCondition, Svam
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.types import FloatArray


class EagerEngine(NetworkEngine):
    """Runs the stages of :class:`svam_ros.networks.svam.Svam` one by one and times each.

    Args:
        model: as :class:`svam_ros.engines.network_engine.NetworkEngine`; so are ``seed`` and ``noise``.
        seed: of the noise.
        noise: ``fixed`` or ``fresh``.
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
        self._device = torch.device(device)
        self._dtype = dtype
        timer = StageTimer(torch.cuda.synchronize if self._device.type == "cuda" else None)
        super().__init__(model, seed=seed, noise=noise, timer=timer)
        self._network: Svam = model.load_network(dtype, self._device).prepare_for_inference()
        self._condition: InstructionCondition | None = None

    def close(self) -> None:
        """Drop the network."""
        self._instruction = self._condition = None
        del self._network

    def _encode(self, tokens: TokenizedInstruction) -> None:
        with torch.inference_mode():
            self._condition = self._network.encode_instruction(
                torch.from_numpy(tokens.token_ids).to(self._device),
                torch.from_numpy(tokens.attention_mask).to(self._device),
            )

    def _run(self, inputs: PassInputs) -> FloatArray:
        with torch.inference_mode():
            actions = self._with_memory(lambda: self._run_stages(inputs))
            return actions[0].double().cpu().numpy()

    def _run_stages(self, inputs: PassInputs) -> Tensor:
        """``(1, pred_horizon, action_dim)`` normalised actions."""
        assert self._condition is not None
        with self._timer.stage("preprocess"):
            noise = inputs.noise
            staged = StageInputs(
                self._to_network(inputs.image),
                self._condition,
                None if inputs.joints is None else self._to_network(inputs.joints),
                self._to_network(noise.latent),
                self._to_network(noise.action),
                None if inputs.prefix is None else self._given(inputs.prefix),
            )
        return run_stages(self._network, staged, self._timer.stage).actions

    def _given(self, prefix: NDArray[np.float32]) -> GivenActions:
        actions = np.zeros((1, self.horizon.pred, prefix.shape[1]), np.float32)
        actions[0, : len(prefix)] = prefix
        return GivenActions.first(self._to_network(actions), len(prefix))

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

    def _to_network(self, array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(array).to(device=self._device, dtype=self._dtype)
