"""Noise that a hand would make: it wanders, and leaves the grippers alone."""

from __future__ import annotations

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.types import FloatArray


def smooth_noise(steps: int, cobot: Cobot, random: np.random.Generator, correlation: float) -> FloatArray:
    """``(steps, 14)`` of standard deviation 1 once it has got going; it begins at 0, grippers stay at 0.

    Args:
        steps: control steps.
        cobot: says which joints are grippers.
        random: draws.
        correlation: from one step to the next, below 1.
    """
    white = random.normal(size=(steps, len(cobot.joint_names)))
    white[:, list(cobot.gripper_indices)] = 0.0
    noise = np.zeros_like(white)
    fresh = np.sqrt(1 - correlation**2)
    for step in range(1, steps):
        noise[step] = correlation * noise[step - 1] + fresh * white[step]
    return noise
