"""Mean of what the last predictions say about the same moments: temporal ensembling.

Zhao et al. 2023 (ACT, arXiv 2304.13705, section IV.A) average every live prediction of a step. Here the
mean is kept as one curve, in which older predictions fade with every new one, so that nothing grows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import FloatArray


class OverlapAverage:
    """Averages each prediction with those before it, where they overlap in time.

    What two predictions of one moment differ by is the network's noise: of the picture, of the sampler, of
    where it takes the arms to be. A mean has less of it, and follows what is new later. Grippers are not
    averaged: half open is neither of two predictions.

    Args:
        older_weight: of the mean so far in the new mean, 0 to below 1; 0 takes the newest prediction alone.
        step_ns: time between two steps; step ``i`` is due ``(i + 1) * step_ns`` after its observation.
        averaged: ``(joints,)``, which joints are averaged.
    """

    def __init__(self, older_weight: float, step_ns: int, averaged: NDArray[np.bool_]) -> None:
        self._older_weight = older_weight
        self._step_ns = step_ns
        self._averaged = averaged
        self._mean: tuple[int, str, FloatArray] | None = None

    def add(self, actions: FloatArray, observation_ns: int, instruction: str) -> FloatArray:
        """The prediction, averaged with the older ones of the same instruction.

        Args:
            actions: ``(pred_horizon, joints)`` finite; not written to.
            observation_ns: stamp of the observation it was made from.
            instruction: that it acts on. Another one than before begins anew.

        Returns:
            ``(pred_horizon, joints)``; steps that no older prediction reaches are as given.
        """
        mean = actions.copy()
        if self._older_weight > 0.0 and self._mean is not None and self._mean[1] == instruction:
            self._blend(mean, observation_ns)
        self._mean = observation_ns, instruction, mean
        return mean

    def forget(self) -> None:
        """What was predicted so far is not what happened."""
        self._mean = None

    def _blend(self, mean: FloatArray, observation_ns: int) -> None:
        assert self._mean is not None
        older_ns, _, older = self._mean
        # In steps of the older prediction: cameras do not tick in multiples of the control step.
        position = np.arange(len(mean)) + (observation_ns - older_ns) / self._step_ns
        known = (position >= 0.0) & (position <= len(older) - 1)
        for joint in np.flatnonzero(self._averaged):
            before = np.interp(position[known], np.arange(len(older)), older[:, joint])
            mean[known, joint] += self._older_weight * (before - mean[known, joint])
