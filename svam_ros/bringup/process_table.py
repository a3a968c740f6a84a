"""Which processes make up the system, with which parameters: one table for `ros2 launch` and `svam demo`.

The launch files and the demo only translate it: into ``launch_ros`` actions, or into child processes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from svam_ros import graph
from svam_ros.parameters import (
    EngineName,
    ExecutionModeName,
    GuardParameters,
    ImageDecoder,
    ImageTransport,
    ParameterError,
    PolicyParameters,
    Range,
    RealTimeParameters,
    SimulationParameters,
    TaskName,
    build,
)
from svam_ros.types import FASTEST_COMMAND_RATE_HZ

PACKAGE = "svam_ros"


@dataclass(frozen=True)
class RobotOptions(RealTimeParameters):
    """Arguments of ``svam.launch.py``: policy and guard for the real robot."""

    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package."""
    engine: EngineName = "eager"
    """The way to run the network."""
    profile: str = "cobot_magic"
    """Robot profile: the name of one that ships with the package, or a YAML file of the same form."""
    limits: str = ""
    """YAML file with the arms' limits, in the form of calibration/cobot.yaml. Empty: that file."""
    image_transport: ImageTransport = "raw"
    """Subscribe to the camera's raw image topic or to its /compressed sibling."""
    image_decoder: ImageDecoder = "numpy"
    """Decode raw images with the checked numpy function, or with cv_bridge from an apt install."""
    command_rate_hz: Annotated[float, Range(0.0, FASTEST_COMMAND_RATE_HZ)] = 0.0
    """Rate of set-points to the drivers, 25 to 200 Hz; 0 takes the profile's rate."""
    mode: ExecutionModeName = PolicyParameters.mode
    """How chunks that come late are executed; auto takes the best that horizon and latency carry."""
    older_weight: Annotated[float, Range(0.0, 0.95)] = PolicyParameters.older_weight
    """Weight of the mean of older predictions in the steps of a chunk that they reach."""
    black_box: str = ""
    """Folder for the last ten seconds before every hold and stop; empty: svam_black_box beside ROS's logs."""
    autostart: bool = True
    """guard_node configures and activates itself; False: an operator leads it."""
    instruction: str = ""
    """What to do, in words. Empty: wait for one on the instruction topic."""
    namespace: str = ""
    """ROS namespace of our nodes; the robot's own topics come from the profile."""
    topic_map: str = ""
    """Remappings, such as "/camera_f/color/image_raw:=/front/image_raw", separated by blanks."""


@dataclass(frozen=True)
class SimulationOptions(RobotOptions):
    """Arguments of ``simulation.launch.py``: the same with the simulated Cobot."""

    instruction: str = ""
    """What to do, in words. Empty: wait for one on the instruction topic; in simulation, the task's own."""
    task: TaskName = "lift_pot"
    """What there is to do: which objects stand on the table."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the scene: positions of the objects."""
    driver_quirks: bool = False
    """Behave as badly as the real drivers can: missing joint names mean 0 rad, six velocities."""
    publish_compressed: bool = False
    """Publish JPEG pictures on the camera's /compressed sibling too, even if image_transport is raw."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process: a node, how to start it, and what it is told."""

    name: str
    executable: str
    """As in ``ros2 run svam_ros <executable>``."""
    module: str
    """As in ``python -m <module>``."""
    managed: bool
    """A lifecycle node to be configured and activated from outside; with ``autostart`` it needs nobody."""
    parameters: dict[str, bool | int | float | str]
    namespace: str
    remappings: tuple[tuple[str, str], ...]


def robot_processes(options: RobotOptions) -> tuple[ProcessSpec, ...]:
    """policy_node and guard_node.

    Raises:
        ParameterError: an option is not allowed.
    """
    policy = build(
        PolicyParameters,
        {
            "model": options.model,
            "engine": options.engine,
            "profile": options.profile,
            "image_transport": options.image_transport,
            "image_decoder": options.image_decoder,
            "instruction": options.instruction,
            "mode": options.mode,
            "older_weight": options.older_weight,
        },
    )
    guard = build(
        GuardParameters,
        {
            "profile": options.profile,
            "limits": options.limits,
            "command_rate_hz": options.command_rate_hz,
            "black_box": options.black_box,
            "autostart": options.autostart,
            "lock_memory": options.lock_memory,
            "fifo_priority": options.fifo_priority,
            "cpu_core": options.cpu_core,
        },
    )
    return (
        _spec(graph.GUARD_NODE, guard, options),
        _spec(graph.POLICY_NODE, policy, options, managed=True),
    )


def simulation_processes(options: SimulationOptions) -> tuple[ProcessSpec, ...]:
    """The simulated Cobot, and the robot's processes on top of it.

    Without an instruction the policy is given the sentence of the task.

    Raises:
        ParameterError: an option is not allowed.
    """
    simulation = build(
        SimulationParameters,
        {
            "profile": options.profile,
            "task": options.task,
            "seed": options.seed,
            "driver_quirks": options.driver_quirks,
            "publish_compressed": options.publish_compressed or options.image_transport == "compressed",
        },
    )
    if not options.instruction:
        # Imported only now: the real robot starts without MuJoCo.
        from svam_ros.simulation.tasks import find_task

        options = dataclasses.replace(options, instruction=find_task(options.task).instruction)
    return (_spec(graph.SIMULATION_NODE, simulation, options), *robot_processes(options))


def parse_topic_map(text: str) -> tuple[tuple[str, str], ...]:
    """``"a:=b c:=d"`` -> ``(("a", "b"), ("c", "d"))``.

    Raises:
        ParameterError: a part is not of the form ``from:=to``.
    """
    pairs = []
    for part in text.split():
        source, separator, target = part.partition(":=")
        if not (source and separator and target):
            raise ParameterError(f"topic_map has '{part}', allowed is from:=to, separated by blanks")
        pairs.append((source, target))
    return tuple(pairs)


def _spec(
    name: str,
    parameters: PolicyParameters | GuardParameters | SimulationParameters,
    options: RobotOptions,
    managed: bool = False,
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        executable=name,
        module=f"svam_ros.nodes.{name}",
        managed=managed,
        parameters=dataclasses.asdict(parameters),
        namespace=options.namespace,
        remappings=parse_topic_map(options.topic_map),
    )
