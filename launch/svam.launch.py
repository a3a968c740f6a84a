"""The real robot: guard_node and policy_node. The drivers and the camera are started by their own files.

ros2 launch svam_ros svam.launch.py model:=/path/to/your/model profile:=cobot_magic \
    instruction:="lift the pot with both hands"

Nothing moves before: ros2 service call /guard_node/engage std_srvs/srv/Trigger
"""

from typing import Any

from svam_ros.bringup.launch_description import launch_description
from svam_ros.bringup.process_table import RobotOptions, robot_processes


def generate_launch_description() -> Any:
    """What ``ros2 launch`` runs."""
    return launch_description(RobotOptions, robot_processes)
