"""Which model policy_node opens, and whose joints its chunks name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from svam_ros.cobot import Cobot
from svam_ros.parameters import PolicyParameters

if TYPE_CHECKING:  # the scripted engine runs where torch is not installed
    from svam_ros.artifacts.model_directory import ModelDirectory


def policy_model(
    parameters: PolicyParameters, cobot: Cobot, warn: Callable[[str], object]
) -> tuple[str | ModelDirectory, tuple[str, ...]]:
    """The model's name, or the open model of another robot where that is allowed; and the joints it moves.

    Args:
        parameters: of the node.
        cobot: the robot that is here.
        warn: is told when the model is for another one.

    Raises:
        ValueError: the model cannot be opened.
    """
    if not parameters.allow_other_robot or parameters.engine == "scripted":
        return parameters.model, cobot.joint_names
    from svam_ros.artifacts.model_directory import open_model

    model = open_model(parameters.model, any_robot=True)
    joint_names = model.manifest.joint_names
    if joint_names != cobot.joint_names:
        warn(
            f"model {model.manifest.name} is for another robot (joints {', '.join(joint_names)}): "
            f"the guard will refuse its chunks"
        )
    return model, joint_names
