"""What crosses from one layer to the next: frames, joint states, observations and chunks.

Every class is frozen and holds plain numpy arrays. Data goes one way:
``CameraFrame`` -> ``Observation`` -> ``ActionChunk`` -> set-point -> arm command.

Stamps that end in ``_ns`` without a further word are ROS time in nanoseconds (the clock of
``header.stamp``); ``steady_ns`` is the monotonic clock of this process, the only clock on which
timeouts run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
"""Joint vectors and everything computed from them."""

ImageArray = NDArray[np.uint8]
"""Pixels, ``(height, width, 3)`` in RGB order."""

MAX_CHUNK_STEPS = 256
"""Steps in a chunk, and the largest index of its first: ten seconds at 25 Hz, far beyond any policy."""

SLOWEST_COMMAND_RATE_HZ = 25.0
FASTEST_COMMAND_RATE_HZ = 200.0
"""Between these rates the drivers of the Cobot family follow streamed set-points."""


@dataclass(frozen=True)
class CameraFrame:
    """One decoded colour picture of the front camera."""

    rgb: ImageArray
    """``(height, width, 3)`` uint8, RGB."""
    stamp_ns: int
    """When the shutter opened, ROS time."""


@dataclass(frozen=True)
class ArmReading:
    """The measured joints of one arm, or a set-point for them, from one message."""

    positions: FloatArray
    """``(7,)``: six angles in rad, gripper opening in m."""
    velocities: FloatArray
    """``(7,)``: rad/s and m/s; zeros where the driver reports none."""
    stamp_ns: int
    """When it was measured (or is due), ROS time."""


@dataclass(frozen=True)
class ArmState:
    """The measured joints of both arms, in the order of :class:`svam_ros.cobot.Cobot`."""

    positions: FloatArray
    """``(14,)``: rad for joints, m of opening for grippers."""
    velocities: FloatArray
    """``(14,)``: rad/s and m/s."""
    left_stamp_ns: int
    right_stamp_ns: int

    @property
    def stamp_ns(self) -> int:
        """The older of the two stamps: the state is as old as its oldest half."""
        return min(self.left_stamp_ns, self.right_stamp_ns)


@dataclass(frozen=True)
class Observation:
    """What the policy acts on: a frame, the joints as of that frame, and an instruction."""

    frame: CameraFrame
    arms: ArmState
    instruction: str

    @property
    def stamp_ns(self) -> int:
        """The frame's stamp: the moment that the chunk's steps are counted from."""
        return self.frame.stamp_ns


@dataclass(frozen=True)
class Horizon:
    """What one prediction covers, in control steps."""

    pred: int
    """Predicted at once."""
    exec: int
    """Of them, sent as one chunk."""
    longest_prefix: int = 0
    """Of them, at the beginning, that may be given; 0 where the network was not trained for it."""


@dataclass(frozen=True)
class ActionChunk:
    """``exec_horizon`` joint targets in a row, made from one observation.

    Step ``i`` is the target for the moment
    ``observation_stamp_ns + (first_step + i + 1) * step_s``.
    """

    actions: FloatArray
    """``(exec_horizon, 14)`` absolute targets: rad, m of gripper opening."""
    observation_stamp_ns: int
    first_step: int
    """Steps from the observation to ``actions[0]``: what was past already, or what is played before."""
    step_s: float
    run_id: str
    """Drawn anew by every policy process and at every activation."""
    sequence: int
    """Counts up by one within a run."""

    def target_times_ns(self) -> NDArray[np.int64]:
        """``(exec_horizon,)`` ROS times at which each step is due."""
        steps = np.arange(len(self.actions), dtype=np.int64) + self.first_step + 1
        return self.observation_stamp_ns + steps * round(self.step_s * 1e9)


@dataclass(frozen=True)
class JointLimits:
    """What each of the 14 joints may do; every array is ``(14,)``."""

    lower: FloatArray
    upper: FloatArray
    velocity: FloatArray
    acceleration: FloatArray
    jerk: FloatArray


@dataclass(frozen=True)
class BlackBoxEvent:
    """Something that happened between the ticks."""

    at_ns: int
    """Steady time."""
    kind: str
    """``state``, ``chunk``, ``rejected`` or ``operator``."""
    text: str


@dataclass(frozen=True)
class BlackBoxExcerpt:
    """What a black box held; row ``i`` of every array is one tick, the oldest first."""

    cause: str
    """State and reason that it was taken for."""
    cause_ns: int
    """Steady time at which that began."""
    due_ns: NDArray[np.int64]
    """``(n,)`` steady times of the set-points."""
    commanded: FloatArray
    """``(n, 14)`` rad, m."""
    velocities: FloatArray
    """``(n, 14)`` commanded, rad/s, m/s."""
    measured: FloatArray
    """``(n, 14)`` newest measured joints at the tick; NaN before there were any."""
    states: tuple[str, ...]
    """``n``: what the guard was doing."""
    events: tuple[BlackBoxEvent, ...]


@dataclass(frozen=True)
class PlannedPoints:
    """Where both arms shall be at which times."""

    due_ns: NDArray[np.int64]
    """``(n,)`` on one clock, increasing."""
    positions: FloatArray
    """``(n, 14)`` rad, m."""
    velocities: FloatArray
    """``(n, 14)`` rad/s, m/s."""
