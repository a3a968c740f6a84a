"""Puts a frame and the joints that belong to it together: live, in replay and in training.

The rule: the joints of an observation are, for each arm, the newest state stamped at or before the
frame. An observation is complete only when both arms have also reported a state stamped *after* the
frame; then no later message can change the choice, and a recording replayed through this class gives
exactly the observation that the live node had.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from svam_ros.cobot import ARM_NAMES
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ArmReading, ArmState, CameraFrame, Observation

READINGS_KEPT = 400
"""States kept per arm: two seconds at 200 Hz, far longer than any frame is used."""


class ObservationAssembler:
    """Collects arm readings and answers with the observation of a frame."""

    def __init__(self, max_joint_age_ms: float) -> None:
        self._max_joint_age_ns = round(max_joint_age_ms * 1e6)
        self._readings: dict[str, deque[ArmReading]] = {arm: deque(maxlen=READINGS_KEPT) for arm in ARM_NAMES}

    def add_reading(self, arm: str, reading: ArmReading) -> None:
        """Take a state of one arm.

        Raises:
            RejectedMessage: its stamp is not newer than the last one's (a driver that repeats itself).
        """
        readings = self._readings[arm]
        if readings and reading.stamp_ns <= readings[-1].stamp_ns:
            raise RejectedMessage(
                f"{arm} arm: state stamped {reading.stamp_ns} ns is not newer than {readings[-1].stamp_ns} ns"
            )
        readings.append(reading)

    def is_complete(self, frame_stamp_ns: int) -> bool:
        """Whether both arms have reported past the frame's stamp."""
        return all(
            readings and readings[-1].stamp_ns > frame_stamp_ns for readings in self._readings.values()
        )

    def observe(self, frame: CameraFrame, instruction: str) -> Observation:
        """The observation of a complete frame.

        Raises:
            RejectedMessage: an arm's newest state at the frame is older than allowed, or there is none.
        """
        left, right = (self._as_of(arm, frame.stamp_ns) for arm in ARM_NAMES)
        arms = ArmState(
            positions=np.concatenate([left.positions, right.positions]),
            velocities=np.concatenate([left.velocities, right.velocities]),
            left_stamp_ns=left.stamp_ns,
            right_stamp_ns=right.stamp_ns,
        )
        return Observation(frame, arms, instruction)

    def _as_of(self, arm: str, stamp_ns: int) -> ArmReading:
        for reading in reversed(self._readings[arm]):
            if reading.stamp_ns <= stamp_ns:
                age_ns = stamp_ns - reading.stamp_ns
                if age_ns > self._max_joint_age_ns:
                    raise RejectedMessage(
                        f"{arm} arm: state is {age_ns / 1e6:.0f} ms older than the frame, "
                        f"allowed is {self._max_joint_age_ns / 1e6:.0f} ms"
                    )
                return reading
        raise RejectedMessage(f"{arm} arm: no state at or before the frame")
