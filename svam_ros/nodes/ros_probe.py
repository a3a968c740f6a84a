"""``python -m svam_ros.nodes.ros_probe``: starts a real node and says, as JSON, which ROS it found.

A process of its own, because whoever asks (``svam doctor``) does not import rclpy.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

MESSAGE_PACKAGES = (
    "builtin_interfaces",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "trajectory_msgs",
)
"""What our nodes speak."""


def main() -> int:
    """Print the answer; an exception ends the process with its own text."""
    import rclpy
    from rclpy.utilities import get_rmw_implementation_identifier

    for package in MESSAGE_PACKAGES:
        importlib.import_module(package)
    rclpy.init()
    node = rclpy.create_node("svam_doctor")
    answer = {
        "location": str(Path(rclpy.__file__).parent),
        "middleware": get_rmw_implementation_identifier(),
        "segment_bytes": _largest_segment_bytes(),
    }
    node.destroy_node()
    rclpy.try_shutdown()
    print(json.dumps(answer))
    return 0


def _largest_segment_bytes() -> int:
    """Size of the shared-memory segment that this process sends through; 0 without one."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = {line.split(maxsplit=5)[-1] for line in maps if "/dev/shm/fastdds_" in line}  # noqa: S108
    return max((os.stat(path).st_size for path in paths if os.path.exists(path)), default=0)


if __name__ == "__main__":
    raise SystemExit(main())
