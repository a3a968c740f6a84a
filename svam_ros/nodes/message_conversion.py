"""Our types to ROS messages. The other direction is ``svam_ros.translation``, which needs no ROS."""

from __future__ import annotations

import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from svam_ros.translation.chunks import chunk_identity
from svam_ros.translation.commands import ArmCommand
from svam_ros.translation.trajectories import JointGroupTrajectory
from svam_ros.types import ActionChunk, FloatArray, ImageArray

NANOSECONDS = 1_000_000_000


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds -> ``builtin_interfaces/Time``."""
    return Time(sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS)


def chunk_message(chunk: ActionChunk, joint_names: tuple[str, ...]) -> JointTrajectory:
    """A chunk in the form that :func:`svam_ros.translation.chunks.read_chunk` reads.

    Velocities and accelerations are the targets' own differences, for plotting; the guard computes its
    own. All four arrays are filled, because some readers of recorded messages refuse empty ones.
    """
    message = JointTrajectory(joint_names=list(joint_names))
    message.header.stamp = time_message(chunk.observation_stamp_ns)
    message.header.frame_id = chunk_identity(chunk.run_id, chunk.sequence)
    offsets_ns = chunk.target_times_ns() - chunk.observation_stamp_ns
    velocities = _differences(chunk.actions, chunk.step_s)
    accelerations = _differences(velocities, chunk.step_s)
    message.points = [
        JointTrajectoryPoint(
            positions=chunk.actions[step].tolist(),
            velocities=velocities[step].tolist(),
            accelerations=accelerations[step].tolist(),
            effort=[0.0] * len(joint_names),
            time_from_start=Duration(sec=int(ns) // NANOSECONDS, nanosec=int(ns) % NANOSECONDS),
        )
        for step, ns in enumerate(offsets_ns)
    ]
    return message


def _differences(rows: FloatArray, step_s: float) -> FloatArray:
    """``(n, 14)`` -> ``(n, 14)`` rate of change; zero for a single row."""
    return np.gradient(rows, step_s, axis=0) if len(rows) > 1 else np.zeros_like(rows)


def command_message(command: ArmCommand, stamp_ns: int) -> JointState:
    """One arm's set-point, stamped with the moment it is due on the plan's clock."""
    return joint_state_message(
        command.joint_names, command.position, command.velocity, command.effort, stamp_ns
    )


def trajectory_message(group: JointGroupTrajectory, start_ns: int) -> JointTrajectory:
    """What one controller is told, begun at ``start_ns`` on the plan's clock."""
    message = JointTrajectory(joint_names=list(group.joint_names))
    message.header.stamp = time_message(start_ns)
    rows = zip(group.from_start_ns, group.positions, group.velocities, strict=True)
    message.points = [
        JointTrajectoryPoint(
            positions=positions,
            velocities=velocities,
            time_from_start=Duration(sec=ns // NANOSECONDS, nanosec=ns % NANOSECONDS),
        )
        for ns, positions, velocities in rows
    ]
    return message


def joint_state_message(
    names: Sequence[str],
    position: Iterable[float],
    velocity: Iterable[float],
    effort: Iterable[float],
    stamp_ns: int,
) -> JointState:
    """``sensor_msgs/JointState`` in the driver's own names and units."""
    message = JointState(
        name=list(names),
        position=array.array("d", position),
        velocity=array.array("d", velocity),
        effort=array.array("d", effort),
    )
    message.header.stamp = time_message(stamp_ns)
    return message


def image_message(rgb: ImageArray, stamp_ns: int, frame_id: str, encoding: str = "rgb8") -> Image:
    """``(height, width, 3)`` RGB -> ``sensor_msgs/Image`` in ``rgb8`` or ``bgr8``.

    The bytes go through ``array.frombytes``: assigning an ndarray takes 150 ms in rclpy, this 0.1 ms.
    """
    if encoding not in ("rgb8", "bgr8"):
        raise ValueError(f"image encoding is '{encoding}', allowed is rgb8 or bgr8")
    pixels = rgb[..., ::-1] if encoding == "bgr8" else rgb
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding=encoding, step=rgb.shape[1] * 3)
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame_id
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    message.data = data
    return message


def camera_info_message(calibration: Mapping[str, object], stamp_ns: int, frame_id: str) -> CameraInfo:
    """A camera_info_manager file's content -> ``sensor_msgs/CameraInfo``."""

    def matrix(key: str) -> list[float]:
        entry = calibration[key]
        assert isinstance(entry, Mapping)
        return [float(value) for value in entry["data"]]

    message = CameraInfo(
        width=int(str(calibration["image_width"])),
        height=int(str(calibration["image_height"])),
        distortion_model=str(calibration["distortion_model"]),
        d=matrix("distortion_coefficients"),
        k=matrix("camera_matrix"),
        r=matrix("rectification_matrix"),
        p=matrix("projection_matrix"),
    )
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame_id
    return message


def status_message(
    name: str, text: str, values: Mapping[str, object], stamp_ns: int, level: bytes
) -> DiagnosticArray:
    """A DiagnosticArray with one status and its key-value pairs."""
    status = DiagnosticStatus(level=level, name=name, message=text, hardware_id="svam_ros")
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = time_message(stamp_ns)
    return message


def status_values(message: DiagnosticArray, name: str) -> dict[str, str]:
    """The key-value pairs of the status called ``name``; empty when it is not there."""
    for status in message.status:
        if status.name == name:
            return {pair.key: pair.value for pair in status.values}
    return {}
