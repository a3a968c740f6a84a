"""Keeps every set-point that passed on the arms' command topics, to audit what was really sent."""

from __future__ import annotations

from functools import partial

import numpy as np
from sensor_msgs.msg import JointState

from svam_ros.cobot import ARM_NAMES, Cobot, RobotProfile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.profiling.motion_audit import MotionAudit, arm_limits, audit_commands, worst_of
from svam_ros.translation.joint_states import read_command
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ArmReading


class CommandLog:
    """Set-points of both arms since the last :meth:`clear`.

    Args:
        streams: subscribes and polls.
        profile: says where commands go.
        cobot: whose limits the audit compares with.
    """

    def __init__(self, streams: PolledSubscriptions, profile: RobotProfile, cobot: Cobot) -> None:
        self._profile = profile
        self._cobot = cobot
        self._readings: dict[str, list[ArmReading]] = {arm: [] for arm in ARM_NAMES}
        self.malformed = 0
        """Set-points that no driver could have obeyed: missing joints, numbers that are not finite."""
        for arm in ARM_NAMES:
            streams.subscribe(
                JointState, profile.arms[arm].command_topic, partial(self._on_command, arm), qos.RECORDING
            )

    def clear(self) -> None:
        """Forget all set-points."""
        self._readings = {arm: [] for arm in ARM_NAMES}

    def count(self) -> int:
        """Set-points of both arms."""
        return sum(len(readings) for readings in self._readings.values())

    def readings(self, arm: str) -> list[ArmReading]:
        """Set-points of ``"left"`` or ``"right"`` in the order of arrival."""
        return list(self._readings[arm])

    def audit(self) -> MotionAudit:
        """Both arms against their limits."""
        audits = []
        for arm in ARM_NAMES:
            readings = self.readings(arm)
            stamps_ns = np.array([reading.stamp_ns for reading in readings], dtype=np.int64)
            positions = np.array([reading.positions for reading in readings]).reshape(len(readings), 7)
            limits = arm_limits(self._cobot.limits, self._cobot.arm_slice(arm))
            audits.append(audit_commands(stamps_ns, positions, limits))
        return worst_of(audits)

    def _on_command(self, arm: str, message: JointState) -> None:
        try:
            self._readings[arm].append(read_command(message, self._profile, arm))
        except RejectedMessage:
            self.malformed += 1
