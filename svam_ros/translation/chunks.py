"""Chunks on the wire: ``trajectory_msgs/JointTrajectory`` with the observation's stamp.

``header.stamp`` is the observation's stamp, ``header.frame_id`` is ``<run id>/<sequence>``, and point
``i`` is due ``(first_step + i + 1) * step`` after the stamp. So a chunk says by itself when each of its
steps is meant for, and any ROS tool can plot it.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.types import MAX_CHUNK_STEPS, ActionChunk

_IDENTITY = re.compile(r"(?P<run_id>[A-Za-z0-9_-]{1,64})/(?P<sequence>[0-9]{1,18})", re.ASCII)


def chunk_identity(run_id: str, sequence: int) -> str:
    """What stands in ``header.frame_id`` of a chunk."""
    return f"{run_id}/{sequence}"


def read_chunk(message: Any, cobot: Cobot) -> ActionChunk:
    """``JointTrajectory`` -> ``ActionChunk`` with its joints in our order.

    Finiteness and limits are the guard's to judge; this checks that the message is a chunk at all.

    Raises:
        RejectedMessage: wrong joints, no points, ragged points, times off the control grid, bad identity.
    """
    identity = _IDENTITY.fullmatch(message.header.frame_id)
    if identity is None:
        raise RejectedMessage(f"chunk identity '{message.header.frame_id[:80]}' is not '<run id>/<sequence>'")
    names = list(message.joint_names)
    if sorted(names) != sorted(cobot.joint_names):
        raise RejectedMessage(f"chunk names joints {names}, expected {list(cobot.joint_names)}")
    points = list(message.points)
    if not 1 <= len(points) <= MAX_CHUNK_STEPS:
        raise RejectedMessage(f"chunk has {len(points)} steps, allowed is 1 to {MAX_CHUNK_STEPS}")
    rows = [np.asarray(point.positions, dtype=np.float64) for point in points]
    if any(row.shape != (len(names),) for row in rows):
        raise RejectedMessage(f"a chunk step has not {len(names)} positions")
    order = [names.index(name) for name in cobot.joint_names]
    return ActionChunk(
        actions=np.stack(rows)[:, order],
        observation_stamp_ns=stamp_to_ns(message.header.stamp),
        first_step=_first_step(points, cobot.control_period_s),
        step_s=cobot.control_period_s,
        run_id=identity["run_id"],
        sequence=int(identity["sequence"]),
    )


def _first_step(points: list[Any], step_s: float) -> int:
    """Index of the first step, after checking that all points lie on the control grid."""
    step_ns = round(step_s * 1e9)
    offsets_ns = np.array([stamp_to_ns(point.time_from_start) for point in points], dtype=np.int64)
    first: int = round(float(offsets_ns[0]) / step_ns) - 1
    expected = (np.arange(len(points)) + first + 1) * step_ns
    if first < 0 or np.any(np.abs(offsets_ns - expected) > 1_000_000):
        raise RejectedMessage(
            f"chunk times {(offsets_ns / 1e6).tolist()} ms are not consecutive multiples "
            f"of {step_s * 1e3:.0f} ms"
        )
    return first
