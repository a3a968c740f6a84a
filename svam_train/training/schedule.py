"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from svam_train.recipes.training_settings import TrainingSettings


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Learning rate of step ``step`` (from 0): a linear rise, on top of what the schedule gives."""
    rising = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    done = step / settings.steps
    share = {
        "cosine": 0.5 * (1.0 + math.cos(math.pi * done)),
        "linear": 1.0 - done,
        "constant": 1.0,
    }[settings.schedule]
    return settings.learning_rate * rising * share
