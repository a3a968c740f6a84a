"""ROS stamps as integer nanoseconds."""

from __future__ import annotations

from typing import Any


def stamp_to_ns(stamp: Any) -> int:
    """``builtin_interfaces/Time`` or ``Duration`` -> nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
