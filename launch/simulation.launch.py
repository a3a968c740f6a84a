"""The simulated Cobot in place of the real one, and the same guard_node and policy_node on top of it.

ros2 launch svam_ros simulation.launch.py task:=lift_pot seed:=3

Nothing moves before: ros2 service call /guard_node/engage std_srvs/srv/Trigger
"""

from typing import Any

from svam_ros.bringup.launch_description import launch_description
from svam_ros.bringup.process_table import SimulationOptions, simulation_processes


def generate_launch_description() -> Any:
    """What ``ros2 launch`` runs."""
    return launch_description(SimulationOptions, simulation_processes)
