"""A run of a real stage that dies between two steps, to be resumed."""

import dataclasses
from contextlib import contextmanager

import pytest

from svam_train.training import loop


class Killed(BaseException):
    """Instead of SIGKILL: nothing of the stage catches it, and nothing is saved any more."""


def checkpointing(recipe):
    """The same recipe with a checkpoint after every step, which changes no number of the run."""
    training = dataclasses.replace(recipe.training, checkpoint_every_s=1e-9)
    return dataclasses.replace(recipe, training=training)


@contextmanager
def killed_before(step: int):
    """Within the block a run has to die when it is about to take step ``step``."""
    take_step = loop._Training._take_step

    def take_step_or_die(training, *arguments):
        if training.step == step:
            raise Killed
        return take_step(training, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Training, "_take_step", take_step_or_die)
        with pytest.raises(Killed):
            yield
