"""The numbers of the training loop, the same for every stage: data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["auto", "no", "bf16", "fp16"]
OptimizerName = Literal["adamw", "muon"]

CHANGEABLE_ON_RESUME = frozenset({"checkpoint_every_s", "keep_checkpoints"})
"""Fields that have no influence on any number of a run; all others have to stay as the run was started."""


@dataclass(frozen=True)
class TrainingSettings:
    """How an objective is minimised.

    Raises:
        ValueError: a number is out of its range; the text names it.
    """

    steps: int
    """Steps of the optimizer."""
    batch_size: int
    """Rows of a step over all processes and accumulated parts."""
    learning_rate: float
    """Peak of the schedule."""
    accumulate: int = 1
    """Parts that each process computes one after the other, for a batch that is larger than its memory."""
    warm_up_steps: int = 0
    """The learning rate rises linearly over these."""
    schedule: Schedule = "cosine"
    """How the learning rate goes from its peak to zero at the last step, or that it stays."""
    optimizer: OptimizerName = "adamw"
    """AdamW for all parameters; or Muon for the layers' matrices and AdamW for the others. Not with FSDP."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of AdamW."""
    weight_decay: float = 0.01
    """On matrices and kernels only, not on biases and gains."""
    gradient_norm: float = 1.0
    """Gradients are scaled down to this norm over all parameters."""
    average_decay: float = 0.999
    """Of the exponential moving average of the weights, which is what is evaluated and handed on."""
    precision: Precision = "no"
    """Arithmetic of the forward: float32, or mixed with bfloat16 or float16; ``auto`` is bfloat16 where the
    device multiplies it, else float32, which is then ten times as fast. Weights stay float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them. The stage applies it to its networks."""
    checkpoint_every_s: float = 600.0
    """Seconds between two checkpoints; the end is checkpointed too."""
    keep_checkpoints: int = 2
    """How many of the newest are kept."""
    log_every: int = 20
    """Steps between two lines of training losses, which are means over these steps."""
    evaluate_every: int = 500
    """Steps between two looks at held-out episodes; the end gets one too."""
    pictures_every: int = 1000
    """Steps between two sets of pictures; the end gets one too."""
    seed: int = 0
    """Everything random follows from it and the step."""

    def __post_init__(self) -> None:
        at_least_one = (
            "steps",
            "batch_size",
            "accumulate",
            "keep_checkpoints",
            "log_every",
            "evaluate_every",
            "pictures_every",
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        for name in ("learning_rate", "gradient_norm", "checkpoint_every_s"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be above 0")
        for name in ("warm_up_steps", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must not be negative")
        for name, value in (("average_decay", self.average_decay), *(("betas", beta) for beta in self.betas)):
            if not 0.0 <= value < 1.0:
                raise ValueError(f"{name} is {value}, but must be at least 0 and below 1")

    def rows_per_part(self, processes: int) -> int:
        """Rows that each of ``processes`` computes at once.

        Raises:
            ValueError: the batch cannot be divided evenly; rows would count differently.
        """
        parts = processes * self.accumulate
        if self.batch_size % parts:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be divided evenly over {processes} process(es) times "
                f"accumulate {self.accumulate}; choose a multiple of {parts}"
            )
        return self.batch_size // parts
