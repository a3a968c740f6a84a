"""What a closed loop in simulation is run with: data only, so that the command line loads fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svam_ros.parameters import ExecutionModeName, PolicyParameters, TunableGuardSettings

PolicyName = Literal["model", "blind", "wrong_instruction", "replay", "random"]
"""A model, the model without the image, the model told another task, a demonstration, or chance."""
WITH_NETWORK: tuple[PolicyName, ...] = ("model", "blind", "wrong_instruction")
"""Those whose results are of a model's weights."""


@dataclass(frozen=True)
class LoopSettings:
    """What a closed loop is run with; the defaults are those of the nodes, but the latency, which is theirs
    to measure.

    Raises:
        ValueError: a number is out of its range.
    """

    latency_ms: float = 0.0
    """From the frame to the arrival of its chunk at the guard."""
    mode: ExecutionModeName = PolicyParameters.mode
    """How chunks that come late are executed; auto takes the best that horizon and latency carry."""
    replan_steps: int = PolicyParameters.replan_steps
    """In aligned and prefix: control steps between two observations; more where the latency is longer."""
    older_weight: float = PolicyParameters.older_weight
    """Weight of the mean of older predictions in the steps of a chunk that they reach."""
    publish_lead_ms: float = PolicyParameters.publish_lead_ms
    """Steps due earlier than this after the arrival are left out of a chunk."""
    ramp_speed_fraction: float = TunableGuardSettings.ramp_speed_fraction
    """Of the guard: speed of its ramp after the engage, as a fraction of the limits; 1 is no ramp."""
    max_joint_age_ms: float = PolicyParameters.max_joint_age_ms
    """Joint states may be older than their frame by at most this much."""
    episode_s: float = 15.0
    """Time for one attempt, from the engage on."""
    profile: str = PolicyParameters.profile
    """Robot profile: rates, and what passes between policy, guard and arms."""
    shared_scenes: bool = False
    """Other tasks are possible in the scene too: only the instruction says what is wanted."""
    varied_looks: bool = False
    """Light, colours and the camera's mount differ from scene to scene, as in varied demonstrations."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.older_weight < 1.0:
            raise ValueError(f"older_weight is {self.older_weight:g}, but must be at least 0 and below 1")
        if not (0.0 <= self.latency_ms <= 2000.0 and self.replan_steps >= 1 and self.episode_s > 0.0):
            raise ValueError(
                f"latency_ms {self.latency_ms:g}, replan_steps {self.replan_steps} and episode_s "
                f"{self.episode_s:g} must be 0 to 2000, at least 1 and above 0"
            )
