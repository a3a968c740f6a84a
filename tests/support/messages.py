"""Message stand-ins with the fields that the translation reads: no ROS needed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


def stamp(ns: int) -> SimpleNamespace:
    return SimpleNamespace(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def header(ns: int, frame_id: str = "") -> SimpleNamespace:
    return SimpleNamespace(stamp=stamp(ns), frame_id=frame_id)


def image(array: np.ndarray, encoding: str, ns: int = 1, padding: int = 0, bigendian: bool = False):
    """An image message from ``(h, w[, c])`` pixels with ``padding`` extra bytes at each row's end."""
    rows = np.ascontiguousarray(array).reshape(array.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    return SimpleNamespace(
        header=header(ns),
        height=array.shape[0],
        width=array.shape[1],
        encoding=encoding,
        step=padded.shape[1],
        data=padded.tobytes(),
        is_bigendian=int(bigendian),
    )


def joint_state(names, position, velocity=(), effort=(), ns: int = 1_000_000_000):
    return SimpleNamespace(
        header=header(ns), name=list(names), position=position, velocity=velocity, effort=effort
    )


def chunk(names, rows, first_step: int, ns: int, identity: str = "run/1", step_ms: int = 40):
    points = [
        SimpleNamespace(positions=row, time_from_start=stamp((first_step + i + 1) * step_ms * 1_000_000))
        for i, row in enumerate(rows)
    ]
    return SimpleNamespace(header=header(ns, identity), joint_names=list(names), points=points)
