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

PREFIX_SPACING = 3
"""Passes from one behind a prefix to the next. It has no factor in common with ``JUDGED_SHARE``: ranges are
found, and the result is judged, with and without a prefix."""

Inputs = dict[str, Array]
"""What no stage makes, by name, for one pass."""


def calibration_inputs(model: EngineModel, observations: Iterable[Observation]) -> tuple[Inputs, ...]:
    """What the graphs take for these observations, exactly as an engine would give it to them.

    The noise is another one every time. Where the network takes actions that are being executed already,
    the first and every third pass after it has some: the measured joints, held.

    Raises:
        PredictionRefused: the model cannot take an observation; the text says why.
    """
    listener = _Listener(model)
    engine = GraphEngine("calibration", model, listener, noise="fresh")
    held = (engine.horizon.longest_prefix + 1) // 2
    for index, observation in enumerate(observations):
        behind = held and index % PREFIX_SPACING == 0
        engine.infer(observation, np.tile(observation.arms.positions, (held, 1)) if behind else None)
    return tuple(listener.passes)


@dataclass
class _Listener:
    """A backend that keeps what it is given and predicts that nothing moves."""

    model: EngineModel
    passes: list[Inputs] = field(default_factory=list)
    _instruction: Inputs = field(default_factory=dict)

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        """See the protocol."""
        self._instruction = {"token_ids": token_ids.copy(), "attention_mask": attention_mask.copy()}

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        """See the protocol."""
        self.passes.append(self._instruction | {name: array.copy() for name, array in given.items()})
        return np.zeros((1, *self.model.manifest.config.action_noise_shape), np.float32)

    def value(self, name: str) -> Array:
        """See the protocol; nothing is computed here."""
        raise KeyError(name)

    def close(self) -> None:
        """See the protocol."""
        self.passes.clear()
