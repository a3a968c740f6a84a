"""Names of our own nodes, topics and services: said here, once.

Topics are relative, so that a namespace moves them; ``/diagnostics`` alone is absolute, since ROS tools
look for it there. The robot's topics are not here: they come from its profile in
``calibration/profiles``.
"""

POLICY_NODE = "policy_node"
GUARD_NODE = "guard_node"
SIMULATION_NODE = "cobot_sim_node"

CHUNK_TOPIC = "svam/chunk"
"""trajectory_msgs/JointTrajectory, policy -> guard: one chunk.

``header.stamp`` is the observation's, ``header.frame_id`` is ``<run id>/<sequence>``."""

SIGN_OF_LIFE_TOPIC = "svam/sign_of_life"
"""std_msgs/String, policy -> guard, while chunks are made: the run's id; an empty one takes leave."""

TIMING_TOPIC = "svam/timing"
"""diagnostic_msgs/DiagnosticArray, policy: stage times of the chunk of the same run and sequence."""

INSTRUCTION_TOPIC = "svam/instruction"
"""std_msgs/String, latched: what to do."""

MOTION_TOPIC = "svam/motion"
"""diagnostic_msgs/DiagnosticArray, guard, 10 Hz: state, exact counters, reasons."""

EPISODE_TOPIC = "svam/episode"
"""diagnostic_msgs/DiagnosticArray, simulation, 10 Hz: task, seed, time, success, fraction done."""

DIAGNOSTICS_TOPIC = "/diagnostics"
"""diagnostic_msgs/DiagnosticArray, 1 Hz, where ROS tools look for it."""

ENGAGE_SERVICE = "~/engage"
"""std_srvs/Trigger on the guard: let chunks move the arms; refused with reasons."""
HOLD_SERVICE = "~/hold"
"""std_srvs/Trigger on the guard: brake and stay; engage again to go on."""
STOP_SERVICE = "~/stop"
"""std_srvs/Trigger on the guard: brake, latch; only engage leaves it."""
RESET_SERVICE = "~/reset"
"""std_srvs/Trigger on the simulation: a new scene from its parameters ``task`` and ``seed``."""

TIMING_STATUS = "policy_node: stage times"
MOTION_STATUS = "guard_node: motion"
EPISODE_STATUS = "cobot_sim_node: episode"
"""Names of the one status in each of the DiagnosticArrays above."""


def compressed_sibling(image_topic: str) -> str:
    """Where image_transport publishes the JPEG pictures of a raw image topic."""
    return f"{image_topic}/compressed"
