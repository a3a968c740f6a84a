"""Records what passes on the topics, knowing nothing of what goes on: ``python -m faults.referee_process``.

A line ``begin`` on standard input forgets everything, a line with a path saves it there. Each is answered.
"""

from __future__ import annotations

import json
import select
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.polled_subscriptions import POLL_PERIOD_S, PolledSubscriptions
from svam_ros.parameters import SimulationParameters
from svam_ros.translation.joint_states import read_command, read_joint_state
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns


class RefereeProcess:
    """Everything that was heard since :meth:`begin`, with the steady time at which it was."""

    def __init__(self, node: Node) -> None:
        self._profile = load_robot_profile(SimulationParameters().profile)
        self.begin()
        self.streams = PolledSubscriptions(node)
        for arm in ARM_NAMES:
            topics = self._profile.arms[arm]
            self.streams.subscribe(
                JointState, topics.command_topic, partial(self._on_command, arm), qos.RECORDING
            )
            self.streams.subscribe(
                JointState, topics.state_topic, partial(self._on_state, arm), qos.RECORDING
            )
        for topic in (graph.DIAGNOSTICS_TOPIC, graph.MOTION_TOPIC):
            self.streams.subscribe(DiagnosticArray, topic, self._on_status, qos.RECORDING)
        self.streams.subscribe(JointTrajectory, graph.CHUNK_TOPIC, self._on_chunk, qos.RECORDING)

    def begin(self) -> None:
        """Forget everything."""
        self._malformed = 0
        self._rows: dict[str, list[Any]] = {
            f"{what}_{arm}": [] for what in ("command", "state") for arm in ARM_NAMES
        }
        self._statuses: list[dict[str, Any]] = []
        self._chunks: list[dict[str, Any]] = []

    def save(self, path: Path) -> None:
        """Arrays as ``path``.npz, the rest beside it as JSON."""
        arrays = {
            f"{name}_{part}": np.array([row[index] for row in rows])
            for name, rows in self._rows.items()
            for index, part in enumerate(("heard_ns", "stamp_ns", "positions"))
        }
        np.savez(path.with_suffix(".npz"), **arrays)
        rest = {"statuses": self._statuses, "chunks": self._chunks, "malformed": self._malformed}
        path.with_suffix(".json").write_text(json.dumps(rest), encoding="utf-8")

    def _on_command(self, arm: str, message: JointState) -> None:
        try:
            reading = read_command(message, self._profile, arm)
        except RejectedMessage:
            self._malformed += 1
            return
        row = (time.monotonic_ns(), reading.stamp_ns, reading.positions.tolist())
        self._rows[f"command_{arm}"].append(row)

    def _on_state(self, arm: str, message: JointState) -> None:
        try:
            reading = read_joint_state(message, self._profile, arm, 0)
        except RejectedMessage:
            return
        row = (time.monotonic_ns(), reading.stamp_ns, reading.positions.tolist())
        self._rows[f"state_{arm}"].append(row)

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self._statuses.append({"heard_ns": time.monotonic_ns(), "name": status.name, "values": values})

    def _on_chunk(self, message: JointTrajectory) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        chunk = {"heard_ns": time.monotonic_ns(), "stamp_ns": stamp_ns, "identity": message.header.frame_id}
        self._chunks.append(chunk)


def main() -> int:
    """Record until standard input ends."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("referee")
    referee = RefereeProcess(node)
    print("ready", flush=True)
    while True:
        referee.streams.poll()
        ready, _, _ = select.select([sys.stdin], [], [], POLL_PERIOD_S)
        if not ready:
            continue
        order = sys.stdin.readline().strip()
        if not order:
            break
        referee.streams.poll()
        if order == "begin":
            referee.begin()
        else:
            referee.save(Path(order))
        print(time.monotonic_ns(), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
