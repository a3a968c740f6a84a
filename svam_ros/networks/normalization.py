"""The units of the network's actions and joints against radians and metres, with an exact inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import FloatArray


@dataclass(frozen=True)
class AffineNormalization:
    """``normalised = (value - offset) / scale``, per dimension, without clipping.

    Raises:
        ValueError: not finite, different lengths, or a scale that is not above zero.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.offset) != len(self.scale):
            raise ValueError(f"{len(self.offset)} offsets but {len(self.scale)} scales")
        if not np.all(np.isfinite(self.offset + self.scale)):
            raise ValueError("offset and scale must be finite")
        if self.scale and min(self.scale) <= 0:
            raise ValueError(f"every scale must be above 0, got {min(self.scale)}")

    def normalise(self, values: FloatArray) -> FloatArray:
        """``(..., n)`` in physical units -> ``(..., n)`` as the network sees them."""
        return (np.asarray(values, np.float64) - self.offset) / self.scale

    def denormalise(self, values: FloatArray) -> FloatArray:
        """``(..., n)`` as the network gives them -> ``(..., n)`` in physical units."""
        return np.asarray(values, np.float64) * self.scale + self.offset


def fit_normalization(
    values: FloatArray,
    method: Literal["range", "moments"],
    *,
    smallest_scale: float = 1e-3,
) -> AffineNormalization:
    """Offset and scale of ``(n, dimensions)`` samples.

    ``range`` maps the 1st and 99th percentile to -1 and 1, ``moments`` gives mean 0 and deviation 1.
    A dimension that hardly moves gets ``smallest_scale`` (rad or m) instead of a division by zero.

    Raises:
        ValueError: fewer than two samples, or some are not finite.
    """
    if values.ndim != 2 or len(values) < 2 or not np.all(np.isfinite(values)):
        raise ValueError(f"statistics need at least 2 finite samples (n, dimensions), got {values.shape}")
    if method == "range":
        low, high = np.percentile(values, [1.0, 99.0], axis=0)
        offset, scale = (low + high) / 2, (high - low) / 2
    else:
        offset, scale = values.mean(axis=0), values.std(axis=0)
    return AffineNormalization(tuple(offset.tolist()), tuple(np.maximum(scale, smallest_scale).tolist()))


@dataclass(frozen=True)
class Statistics:
    """How actions and joints of one data set are normalised.

    Raises:
        ValueError: the three parts speak of different numbers of dimensions.
    """

    actions: AffineNormalization
    joints: AffineNormalization
    relative_to_joints: tuple[bool, ...]
    """Dimensions in which an action is the way from the measured joint, not the target itself."""

    def __post_init__(self) -> None:
        lengths = {len(self.actions.offset), len(self.joints.offset), len(self.relative_to_joints)}
        if len(lengths) != 1:
            raise ValueError(f"actions, joints and relative_to_joints differ in length: {sorted(lengths)}")

    def normalise_joints(self, joints: FloatArray) -> FloatArray:
        """``(..., action_dim)`` rad and m -> normalised."""
        return self.joints.normalise(joints)

    def normalise_actions(self, targets: FloatArray, joints: FloatArray) -> FloatArray:
        """Targets ``(..., horizon, action_dim)``, begun at joints ``(..., action_dim)`` -> normalised."""
        return self.actions.normalise(np.asarray(targets, np.float64) - self.action_origin(joints))

    def denormalise_actions(self, actions: FloatArray, joints: FloatArray) -> FloatArray:
        """Inverse of :meth:`normalise_actions`: absolute targets ``(..., horizon, action_dim)``, rad, m."""
        return self.actions.denormalise(actions) + self.action_origin(joints)

    def action_origin(self, joints: FloatArray) -> FloatArray:
        """``(..., 1, action_dim)``: the joints where actions are relative, zero elsewhere.

        Where no action is relative the joints may be another robot's, of any number.
        """
        if not any(self.relative_to_joints):
            return np.zeros((*np.shape(joints)[:-1], 1, len(self.relative_to_joints)))
        origin: NDArray[np.float64] = np.where(self.relative_to_joints, np.asarray(joints, np.float64), 0.0)
        return origin[..., None, :]
