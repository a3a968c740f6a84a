"""What may be chosen when data is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OpenSettings:
    """How a folder of episodes is opened."""

    stride: int = 2
    """Control steps from one picture to the next, where the source leaves the choice."""
    camera: str | None = None
    """Key of the front camera's video in a LeRobot data set that has several."""
    skip_corrupt: bool = False
    """Pass over damaged files, and say so, instead of refusing."""
    keep_unsuccessful: bool = False
    """Use MCAP episodes too that say of themselves that the task was not done."""
    cache: Path | None = None
    """Where imported episodes are kept; by default a hidden folder in the data's."""
