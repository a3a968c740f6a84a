"""Planned against measured: one small chart for each joint, the same time axis for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from svam_ros.cobot import ARM_NAMES
from svam_ros.profiling.demo_record import ArmTraces, DemoRecord, JointTrace, PlannedChunk
from svam_ros.profiling.html_report.axes import Axis, Tick, line_path, padded_axis
from svam_ros.types import FloatArray

READOUT_POINTS = 400
"""Times for which the page can say where the joints were."""

REACH_S = 0.1
"""The first and last position hold this long before and after: streams do not begin in one instant."""


@dataclass(frozen=True)
class JointPanel:
    """One joint's chart; paths lie in the box of :mod:`.axes`."""

    name: str
    unit: str
    ticks: tuple[Tick, ...]
    measured: str
    commanded: str
    even_chunks: str
    odd_chunks: str
    error: str
    """How far the arm lagged behind its commands, in words."""
    measured_readout: list[float | None]
    commanded_readout: list[float | None]


@dataclass(frozen=True)
class ArmPanel:
    """One arm's seven charts."""

    arm: str
    joints: tuple[JointPanel, ...]
    boundaries: tuple[float, ...]
    """Where chunks begin, per cent of the time axis."""


def time_axis(record: DemoRecord) -> Axis:
    """From the beginning of the episode to its end."""
    return Axis(0.0, max(record.duration_s, 0.1))


def readout_times(record: DemoRecord) -> FloatArray:
    """``(READOUT_POINTS,)`` times of the values in the panels' readouts."""
    axis = time_axis(record)
    return np.linspace(axis.low, axis.high, READOUT_POINTS)


def arm_panels(record: DemoRecord) -> tuple[ArmPanel, ...]:
    """The charts of both arms, left first."""
    axis, times = time_axis(record), readout_times(record)
    begins = [chunk.target_times_s[0] for chunk in record.chunks if len(chunk.target_times_s)]
    boundaries = tuple(axis.percent(float(t)) for t in begins if axis.low <= t <= axis.high)
    per_arm = len(record.joint_names) // len(ARM_NAMES)
    panels = []
    for number, arm in enumerate(ARM_NAMES):
        columns = range(number * per_arm, (number + 1) * per_arm)
        joints = tuple(
            _joint_panel(record.arms[arm], record.chunks, axis, times, joint, column)
            for joint, column in enumerate(columns)
        )
        panels.append(ArmPanel(arm, joints, boundaries))
    return tuple(panels)


def _joint_panel(
    arm: ArmTraces, chunks: tuple[PlannedChunk, ...], axis: Axis, times: FloatArray, joint: int, column: int
) -> JointPanel:
    gripper = joint == arm.measured.positions.shape[1] - 1
    scale, unit, min_span = (1e3, "mm", 0.01) if gripper else (1.0, "rad", 0.1)
    planned = [chunk.targets[:, column] for chunk in chunks]
    values = np.concatenate([arm.measured.positions[:, joint], arm.commanded.positions[:, joint], *planned])
    y_axis = padded_axis(values, min_span)
    segments = [
        line_path(axis.fractions(chunk.target_times_s), y_axis.fractions(chunk.targets[:, column]))
        for chunk in chunks
    ]
    parity = [chunk.sequence % 2 for chunk in chunks]
    measured, commanded = (_at(trace, joint, times) for trace in (arm.measured, arm.commanded))
    return JointPanel(
        name="gripper" if gripper else f"joint {joint + 1}",
        unit=unit,
        ticks=y_axis.ticks(3, scale),
        measured=_trace_path(arm.measured, joint, axis, y_axis),
        commanded=_trace_path(arm.commanded, joint, axis, y_axis),
        even_chunks="".join(path for path, odd in zip(segments, parity, strict=True) if not odd),
        odd_chunks="".join(path for path, odd in zip(segments, parity, strict=True) if odd),
        error=_error_text(measured, commanded, gripper),
        measured_readout=_rounded(measured * scale),
        commanded_readout=_rounded(commanded * scale),
    )


def _trace_path(trace: JointTrace, joint: int, axis: Axis, y_axis: Axis) -> str:
    return line_path(axis.fractions(trace.times_s), y_axis.fractions(trace.positions[:, joint]))


def _at(trace: JointTrace, joint: int, times: FloatArray) -> FloatArray:
    """Positions at ``times``; NaN where the nearest sample is more than :data:`REACH_S` away."""
    if len(trace.times_s) == 0:
        return np.full(len(times), np.nan)
    values = np.interp(times, trace.times_s, trace.positions[:, joint])
    outside = (times < trace.times_s[0] - REACH_S) | (times > trace.times_s[-1] + REACH_S)
    return np.where(outside, np.nan, values)


def _rounded(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 3) for value in values]


def _error_text(measured: FloatArray, commanded: FloatArray, gripper: bool) -> str:
    difference = (measured - commanded)[np.isfinite(measured - commanded)]
    if difference.size == 0:
        return "not commanded"
    rms = float(np.sqrt(np.mean(difference**2))) * 1e3
    return f"off by {rms:.1f} {'mm' if gripper else 'mrad'} rms"
