"""Observations that an engine in eight bits is calibrated on, as the network's graphs take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from svam_ros.engines.exported.graph_backend import Array
from svam_ros.engines.exported.graph_engine import GraphEngine
from svam_ros.engines.network_engine import EngineModel
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.types import Observation

Inputs = dict[str, Array]
"""What no stage makes, by name, for one pass."""


def calibration_inputs(model: EngineModel, observations: Iterable[Observation]) -> tuple[Inputs, ...]:
    """What the graphs take for these observations, exactly as an engine would give it to them.

    The noise is another one every time. Where the network takes actions that are being executed already,
    every second pass has some: the measured joints, held.

    Raises:
        PredictionRefused: the model cannot take an observation; the text says why.
    """
    listener = _Listener(model)
    engine = GraphEngine("calibration", model, listener, noise="fresh")
    held = (engine.horizon.longest_prefix + 1) // 2
    for index, observation in enumerate(observations):
        prefix = np.tile(observation.arms.positions, (held, 1)) if held and index % 2 else None
        engine.infer(observation, prefix)
    return tuple(listener.passes)


@dataclass
class _Listener:
    """A backend that keeps what it is given and predicts that nothing moves."""

    model: EngineModel
    passes: list[Inputs] = field(default_factory=list)
    _instruction: Inputs = field(default_factory=dict)

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        self._instruction = {"token_ids": token_ids.copy(), "attention_mask": attention_mask.copy()}

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        self.passes.append(self._instruction | {name: array.copy() for name, array in given.items()})
        return np.zeros((1, *self.model.manifest.config.action_noise_shape), np.float32)

    def value(self, name: str) -> Array:
        raise KeyError(name)

    def close(self) -> None:
        self.passes.clear()
