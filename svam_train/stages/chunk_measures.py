"""How far sampled chunks are off, in what the arms would do: numbers that training is looked at by."""

from __future__ import annotations

import numpy as np

from svam_ros.types import FloatArray

_ARM_DIMENSIONS = 7
"""Of each arm's actions; the last one is its gripper."""


def arm_error_rad(sampled: FloatArray, true: FloatArray) -> float:
    """Mean absolute error of the arms' joints, without the grippers.

    Args:
        sampled: ``(rows, horizon, action_dim)`` joint targets, rad and m.
        true: in the same shape.
    """
    return float(np.abs(_arm_joints(sampled) - _arm_joints(true)).mean())


def arm_roughness(sampled: FloatArray, true: FloatArray) -> float:
    """Second differences along the sampled chunks, over those of the true ones (root mean squares).

    1 is as smooth as the demonstrations. What is left of a sampler's noise shows here long before it does in
    the mean error: joint targets that alternate by 0.1 rad from step to step were 0.02 rad off on average,
    and the arms shook by centimetres.

    Args:
        sampled: ``(rows, horizon, action_dim)`` joint targets, rad and m; a horizon of at least 3.
        true: in the same shape.
    """
    rough, smooth = (
        float(np.sqrt(np.mean(np.diff(_arm_joints(chunks), n=2, axis=1) ** 2))) for chunks in (sampled, true)
    )
    return rough / max(smooth, 1e-6)  # chunks in which nothing moves at all are not infinitely smooth


def _arm_joints(chunks: FloatArray) -> FloatArray:
    """``(rows, horizon, arms, 6)``."""
    return chunks.reshape(*chunks.shape[:2], -1, _ARM_DIMENSIONS)[..., : _ARM_DIMENSIONS - 1]
