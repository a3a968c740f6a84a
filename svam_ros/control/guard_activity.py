"""How often the guard keeps the arms off the path that chunks ask for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import FloatArray

OFF_PATH_RAD = 0.02
"""A joint's limits have changed the motion where the command is further off: 14 mm at a reach of 0.7 m.

Less is what an acceleration and a jerk limit make of the corners of any path.
"""


class GuardActivity:
    """Counts set-points while a chunk's path is followed; ways onto it, holds and stops are no part of it.

    Args:
        arm_joints: ``(n,)``, true for the joints of the arms: a gripper that holds a thing is off its path.
    """

    def __init__(self, arm_joints: NDArray[np.bool_]) -> None:
        self._arm_joints = arm_joints
        self.followed = 0
        """Set-points on a path."""
        self.limited = 0
        """Of these, the ones that limits have kept off it."""

    def count(self, commanded: FloatArray, asked: FloatArray) -> None:
        """One set-point: ``(n,)`` what is commanded, and what the path says for the same moment."""
        self.followed += 1
        self.limited += int(np.abs(commanded - asked)[self._arm_joints].max() > OFF_PATH_RAD)
