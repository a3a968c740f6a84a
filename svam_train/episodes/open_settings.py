"""What may be chosen when data is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

USUAL_STRIDE = 2
"""Neighbouring pictures hardly differ, and a picture is what costs."""


@dataclass(frozen=True)
class OpenSettings:
    """How a folder of episodes is opened.

    Raises:
        ValueError: a number is out of its range.
    """

    stride: int | None = None
    """Control steps from one picture to the next, where the source leaves the choice; by default 2, or 1
    where the video's frames are an odd number of steps apart."""
    camera: str | None = None
    """Key of the front camera's video in a LeRobot data set that has several."""
    skip_corrupt: bool = False
    """Pass over damaged files, and say so, instead of refusing."""
    keep_unsuccessful: bool = False
    """Use MCAP episodes too that say of themselves that the task was not done."""
    cache: Path | None = None
    """Where imported episodes are kept; by default a hidden folder in the data's."""

    def __post_init__(self) -> None:
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"stride is {self.stride}, but must be at least 1")

    def stride_for(self, frame_spacing: int | None) -> int:
        """The stride to open data with, for frames so many control steps apart; ``None``: there are none."""
        if self.stride is not None:
            return self.stride
        return USUAL_STRIDE if frame_spacing is None or frame_spacing % USUAL_STRIDE == 0 else 1
