"""What the presets' robots are: the meaning of the numbers that their action experts give."""

from __future__ import annotations

from dataclasses import dataclass

from svam_ros.artifacts.manifest import Embodiment
from svam_ros.networks.normalization import AffineNormalization, Statistics
from svam_ros.translation.preprocessing import ImagePreparation

CALVIN_STEPS_PER_SECOND = 30

CALVIN_ACTIONS = ("step_x", "step_y", "step_z", "step_roll", "step_pitch", "step_yaw", "gripper")
"""CALVIN's ``rel_actions``: steps of the end effector, scaled to [-1, 1], and the gripper, open above 0."""


@dataclass(frozen=True)
class PresetRobot:
    """What a model directory says besides weights."""

    embodiment: Embodiment | None
    """``None``: the Cobot of the calibration."""
    image: ImagePreparation
    statistics: Statistics | None
    """``None`` where they belong to the training data and must be given."""


def preset_robot(preset: str, image_size: int) -> PresetRobot:
    """The robot of a preset.

    Raises:
        KeyError: there are no published checkpoints for this preset.
    """
    return {"calvin": _calvin, "cobot": _cobot}[preset](image_size)


def _calvin(image_size: int) -> PresetRobot:
    dimensions = len(CALVIN_ACTIONS)
    unchanged = AffineNormalization((0.0,) * dimensions, (1.0,) * dimensions)
    return PresetRobot(
        Embodiment(CALVIN_ACTIONS, ("1",) * dimensions, 1 / CALVIN_STEPS_PER_SECOND),
        ImagePreparation("centre_square", image_size, "linear_antialias"),
        Statistics(unchanged, unchanged, (False,) * dimensions),
    )


def _cobot(image_size: int) -> PresetRobot:
    return PresetRobot(None, ImagePreparation("centre_square", image_size, "area"), None)
