"""The protocol that every engine keeps: an observation in, a predicted chunk and its timing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from svam_ros.types import FloatArray, Observation


@dataclass(frozen=True)
class Prediction:
    """What one forward pass gives."""

    actions: FloatArray
    """``(pred_horizon, 14)`` absolute joint targets: rad, m of gripper opening."""
    stages_ms: dict[str, float]
    """Duration of each stage of :data:`svam_ros.profiling.stage_timer.STAGES` that ran."""
    input_digest: str
    """Hash of the arrays that went into the network (``ModelInput.digest``)."""


class PolicyEngine(Protocol):
    """A way to run the network. Engines are made by :func:`svam_ros.engines.create_engine`."""

    name: str
    model_name: str
    pred_horizon: int
    exec_horizon: int
    step_s: float

    def set_instruction(self, text: str) -> None:
        """Encode the instruction once; every later :meth:`infer` acts on it."""

    def infer(self, observation: Observation) -> Prediction:
        """One forward pass. Takes milliseconds to seconds; call it off the executor's thread."""

    def close(self) -> None:
        """Free memory and devices. The engine cannot be used afterwards."""
