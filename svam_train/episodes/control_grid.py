"""Recordings with clocks of their own, put on the grid of control steps.

A camera ticks at 30 Hz, set-points are streamed at 100 Hz, a policy acts at 25 Hz. Of the pictures, the
nearest to each place of the grid is taken and how late it was is kept, so that the chunk that starts at
it is exact; set-points are interpolated between their stamps, never pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import FloatArray, ImageArray
from svam_train.episodes.episodes import DataError

LONGEST_GAP_S = 0.25
"""Between a place of the grid and its picture, and between two set-points. Longer ones are holes in the
recording, and what lies in a hole is not known."""

_PUNCTUAL_STEPS = 1e-6
"""Less is rounding."""

GridRows = tuple[ImageArray, NDArray[np.float32], NDArray[np.float64] | None]


@dataclass(frozen=True)
class _Seen:
    lateness: float
    joints: NDArray[np.float32]
    image: ImageArray


class PictureGrid:
    """Keeps, of all pictures that are offered, the one nearest to every ``stride``-th control step.

    Args:
        period_s: the control period.
        stride: control steps from one row to the next.
    """

    def __init__(self, period_s: float, stride: int) -> None:
        self._period_s, self._stride = period_s, stride
        self._rows: dict[int, _Seen] = {}
        self._last_s = 0.0

    def offer(self, moment_s: float, joints: FloatArray, image: Callable[[], ImageArray]) -> None:
        """A picture of ``moment_s`` after the start, in the order of time; made only if it is kept."""
        self._last_s = moment_s
        step = moment_s / self._period_s
        row = max(0, round(step / self._stride))
        lateness = step - row * self._stride
        kept = self._rows.get(row)
        if kept is None or abs(lateness) < abs(kept.lateness):
            self._rows[row] = _Seen(lateness, joints.astype(np.float32), image())

    def steps(self, last_target_s: float) -> int:
        """Control steps for which there are both targets and pictures."""
        last_s = min(last_target_s, self._last_s + self._stride * self._period_s)
        return max(0, int(np.floor(last_s / self._period_s + 1e-6)))

    def rows(self, steps: int) -> GridRows:
        """Images ``(n, size, size, 3)``, joints ``(n, 14)``, lateness ``(n,)`` (see :class:`Episode`).

        Where the camera was slower than the grid a picture stands in several rows, each time with the
        lateness that makes its chunk exact.

        Raises:
            DataError: nothing was offered, or the camera paused for longer than :data:`LONGEST_GAP_S`.
        """
        have = np.array(sorted(self._rows))
        wanted = np.arange(-(-steps // self._stride))
        if not len(have) or not len(wanted):
            raise DataError("no pictures while the arms were told to move")
        sources = have[np.abs(have[None, :] - wanted[:, None]).argmin(axis=1)].tolist()
        seen = [self._rows[source] for source in sources]
        moved = (np.array(sources) - wanted) * self._stride
        lateness = np.array([s.lateness for s in seen], np.float64) + moved.astype(np.float64)
        worst = int(np.abs(lateness).argmax())
        distance_s = abs(float(lateness[worst])) * self._period_s
        if distance_s > LONGEST_GAP_S:
            raise DataError(
                f"{worst * self._stride * self._period_s:.2f} s after the start the nearest picture is "
                f"{distance_s:.2f} s away, allowed is {LONGEST_GAP_S} s: did the camera pause? "
                f"Take the episode out"
            )
        punctual = np.abs(lateness).max() < _PUNCTUAL_STEPS
        images, joints = np.stack([s.image for s in seen]), np.stack([s.joints for s in seen])
        return images, joints, None if punctual else lateness


def targets_on_grid(
    moments_s: FloatArray, positions: FloatArray, steps: int, period_s: float
) -> NDArray[np.float32]:
    """``(steps, joints)``: set-points as of 1, 2, ... control periods after the start.

    Args:
        moments_s: ``(n,)`` when each set-point is due, after the start, in any order.
        positions: ``(n, joints)``.
        steps: rows wanted.
        period_s: the control period.

    Raises:
        DataError: no set-points, or a hole longer than :data:`LONGEST_GAP_S` between two.
    """
    order = np.argsort(moments_s, kind="stable")
    moments_s, positions = moments_s[order], positions[order]
    wanted = (np.arange(steps) + 1) * period_s
    inside = moments_s[(moments_s >= 0) & (moments_s <= steps * period_s)]
    if not len(inside):
        raise DataError("no set-points while there were pictures: were the arms never told to move?")
    gaps = np.diff(inside, prepend=0.0, append=steps * period_s)
    worst = int(gaps.argmax())
    if gaps[worst] > LONGEST_GAP_S:
        begin = inside[worst - 1] if worst else 0.0
        raise DataError(
            f"{begin:.2f} s after the start there are no set-points for {gaps[worst]:.2f} s, allowed is "
            f"{LONGEST_GAP_S} s: was the robot stopped? Take the episode out, or record it as two"
        )
    columns = [np.interp(wanted, moments_s, column) for column in positions.T]
    return np.stack(columns, axis=-1).astype(np.float32)
