"""An engine that runs exported stages with whatever library they were built for."""

from __future__ import annotations

from typing import Literal

import numpy as np

from svam_ros.artifacts.tokenizer import TokenizedInstruction
from svam_ros.engines.exported.graph_backend import Array, GraphBackend
from svam_ros.engines.network_engine import EngineModel, NetworkEngine, PassInputs
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.types import FloatArray


class GraphEngine(NetworkEngine):
    """Runs the stages of a backend and times each.

    Args:
        name: the engine's, one of :data:`svam_ros.engines.ENGINE_NAMES`.
        model: whose network it is; the weights are the backend's.
        backend: the stages, loaded and checked.
        seed: of the noise.
        noise: as :class:`svam_ros.engines.network_engine.NetworkEngine`.
    """

    def __init__(
        self,
        name: str,
        model: EngineModel,
        backend: GraphBackend,
        *,
        seed: int = 0,
        noise: Literal["fixed", "fresh"] = "fixed",
    ) -> None:
        self.name = name
        super().__init__(model, seed=seed, noise=noise, timer=StageTimer())
        self._backend = backend

    def close(self) -> None:
        """Give the backend's memory and devices back."""
        self._instruction = None
        self._backend.close()

    def _encode(self, tokens: TokenizedInstruction) -> None:
        self._backend.run_instruction(tokens.token_ids, tokens.attention_mask)

    def _run(self, inputs: PassInputs) -> FloatArray:
        with self._timer.stage("preprocess"):
            given: dict[str, Array] = {
                "image": inputs.image,
                "latent_noise": inputs.noise.latent,
                "action_noise": inputs.noise.action,
            }
            if inputs.joints is not None:
                given["joints"] = inputs.joints
            if self.horizon.longest_prefix:
                given |= self._prefix(inputs)
        return self._backend.run_frame(given, self._timer)[0].astype(np.float64)

    def _prefix(self, inputs: PassInputs) -> dict[str, Array]:
        """The graph has one shape: what is not given is marked so."""
        actions = np.zeros_like(inputs.noise.action)
        given = np.zeros(actions.shape[:2], np.bool_)
        if inputs.prefix is not None:
            actions[0, : len(inputs.prefix)] = inputs.prefix
            given[0, : len(inputs.prefix)] = True
        return {"prefix_actions": actions, "prefix_given": given}
