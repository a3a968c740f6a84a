"""The protocol that every engine keeps: an observation in, a predicted chunk and its timing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import FloatArray, Horizon, Observation


class PredictionRefused(RejectedMessage):
    """An observation or an instruction gave no prediction that could be used; the text says why.

    The engine itself is sound: the next observation may be tried.
    """


class DeviceMemoryExhausted(RuntimeError):
    """The device had no memory for a pass, even after what the engine kept for later was given back."""


class DeviceFailed(RuntimeError):
    """The device failed within a pass, and this process has lost it: all that is asked of it fails again."""


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
    """A way to run the network. Engines are made by :func:`svam_ros.engines.create_engine`.

    An engine is used by one thread at a time.
    """

    name: str
    model_name: str
    horizon: Horizon
    step_s: float
    forward_s: float
    """How long one forward pass took at the end of the warm-up."""

    def warm_up(self) -> None:
        """Run until the first real pass is as fast as any other. Changes no later result."""

    def set_instruction(self, text: str) -> None:
        """Encode the instruction once; every later :meth:`infer` acts on it.

        Raises:
            PredictionRefused: the model cannot understand the text. There is no instruction then.
        """

    def infer(self, observation: Observation, prefix: FloatArray | None = None) -> Prediction:
        """One forward pass. Takes milliseconds to seconds; call it off the executor's thread.

        An observation with another instruction than the last one has it encoded first.

        Args:
            observation: what is seen and measured.
            prefix: ``(n, 14)`` absolute joint targets of the first ``n`` steps after the observation, at most
                ``horizon.longest_prefix``: they are committed already, and the prediction begins with them.

        Raises:
            PredictionRefused: the prefix is longer than that or not finite, the instruction is not
                understood, or the network's output is not finite.
            DeviceMemoryExhausted: twice in a row; the engine never goes on elsewhere by itself.
            DeviceFailed: the engine is of no use any more; not even :meth:`close` is.
        """

    def close(self) -> None:
        """Free memory and devices. The engine cannot be used afterwards."""
