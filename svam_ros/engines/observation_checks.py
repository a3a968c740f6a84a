"""What an engine asks of an observation before it computes anything."""

from __future__ import annotations

import numpy as np

from svam_ros.engines.policy_engine import PredictionRefused
from svam_ros.types import FloatArray, Observation


def check_observation(observation: Observation, joints: int | None) -> None:
    """Refuse what no network can see or start from.

    Args:
        observation: a frame of any size, and as many joints as the model moves.
        joints: how many those are; ``None`` for a model that makes nothing of the joints.

    Raises:
        PredictionRefused: the frame is no ``(height, width, 3)`` uint8 picture, or the joints are too
            many, too few or not finite.
    """
    rgb = observation.frame.rgb
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2:] != (3,):
        found = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise PredictionRefused(f"the frame is {found}, expected is uint8 (height, width, 3) in RGB order")
    if 0 in rgb.shape:
        raise PredictionRefused(f"the frame has no pixels: {rgb.shape[1]}x{rgb.shape[0]}")
    positions = np.asarray(observation.arms.positions)
    if joints is not None and positions.shape != (joints,):
        raise PredictionRefused(f"the joints have shape {positions.shape}, the model moves {joints} of them")
    if not np.all(np.isfinite(positions)):
        bad = np.flatnonzero(~np.isfinite(positions))
        raise PredictionRefused(
            f"the measured position of joint {', '.join(map(str, bad))} (counted from 0) is not finite"
        )


def check_prefix(prefix: FloatArray | None, longest: int, joints: int) -> None:
    """Refuse committed steps that the network cannot take.

    Args:
        prefix: ``(n, joints)`` absolute targets, or ``None``.
        longest: steps that it was trained with at most.
        joints: how many the model moves.

    Raises:
        PredictionRefused: too many steps, another number of joints, or targets that are not finite.
    """
    if prefix is None:
        return
    if prefix.ndim != 2 or prefix.shape[1] != joints or len(prefix) > longest:
        raise PredictionRefused(
            f"the committed steps have shape {prefix.shape}, the model takes at most ({longest}, {joints})"
        )
    if not np.all(np.isfinite(prefix)):
        raise PredictionRefused("the committed steps are not finite")
