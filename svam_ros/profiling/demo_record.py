"""What one recorded episode shows: the data behind ``report.html``.

All times are seconds since the beginning of the episode. Joint rows are in the order of
``calibration/cobot.yaml``: of both arms, left first, or of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svam_ros.profiling.run_report import RunReport
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS
from svam_ros.types import FloatArray


@dataclass(frozen=True)
class CameraStill:
    """One picture of the front camera."""

    time_s: float
    jpeg: bytes


@dataclass(frozen=True)
class JointTrace:
    """Positions of one arm over time."""

    times_s: FloatArray
    """``(n,)`` increasing."""
    positions: FloatArray
    """``(n, joints)`` of one arm: rad, m of gripper opening."""

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or len(self.positions) != len(self.times_s):
            raise ValueError(f"{len(self.times_s)} times do not fit positions {self.positions.shape}")


@dataclass(frozen=True)
class ArmTraces:
    """One arm: what it did and what it was told."""

    measured: JointTrace
    commanded: JointTrace


@dataclass(frozen=True)
class PlannedChunk:
    """Targets of one chunk, as the policy published it."""

    sequence: int
    observation_time_s: float
    target_times_s: FloatArray
    """``(steps,)``."""
    targets: FloatArray
    """``(steps, joints)`` of both arms."""


@dataclass(frozen=True)
class ChunkTiming:
    """How long one chunk took."""

    sequence: int
    observation_time_s: float
    observation_age_ms: float
    """Age of the observation when the chunk was published."""
    stages_ms: Mapping[str, float]
    """Of the stages that ran, ``total`` among them."""

    @property
    def missed(self) -> bool:
        """Whether the chunk took longer than it lasts."""
        return self.stages_ms.get("total", 0.0) > CHUNK_BUDGET_MS


@dataclass(frozen=True)
class DemoRecord:
    """One episode in full, and the figures of the run that it belongs to."""

    instruction: str
    episode: int
    """Index in ``report.episodes`` of the one that is shown."""
    recorded_utc: str
    """ISO 8601 date and time of its beginning."""
    duration_s: float
    joint_names: tuple[str, ...]
    """Of both arms, left first."""
    stills: tuple[CameraStill, ...]
    arms: Mapping[str, ArmTraces]
    """``"left"`` and ``"right"``."""
    chunks: tuple[PlannedChunk, ...]
    timings: tuple[ChunkTiming, ...]
    report: RunReport
