"""What `svam demo` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from svam_ros.parameters import (
    EngineName,
    ExecutionModeName,
    ImageTransport,
    PolicyParameters,
    Range,
    TaskName,
)
from svam_ros.types import FASTEST_COMMAND_RATE_HZ

DemoEngineName = Literal["auto", EngineName]


@dataclass(frozen=True)
class DemoOptions:
    """Run the simulated Cobot with a model, over real ROS 2, and write a report.

    Three processes speak ROS 2 on this machine: policy_node, guard_node and cobot_sim_node. Ctrl-C
    brakes the arms first and leaves nothing running.

    Further examples: `svam demo --task place_to_pot --episodes 5 --seed 7`,
    `svam demo --model path/to/model --report my_report --headless`.
    """

    task: TaskName = "lift_pot"
    """What there is to do."""
    episodes: Annotated[int, Range(1, 1000)] = 3
    """How many scenes to try, with seeds counting up from --seed."""
    seconds: Annotated[float, Range(1.0, 600.0)] = 15.0
    """Time for one episode; it ends earlier on success."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the first scene."""
    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package."""
    engine: DemoEngineName = "auto"
    """The way to run the network. auto: openvino, built once for a model that ships with the package; where
    that cannot be, eager."""
    profile: str = "cobot_magic"
    """Robot profile that all three processes speak: the name of one that ships with the package, or a YAML
    file of the same form. So your own can be tried before it meets a robot."""
    limits: str = ""
    """YAML file with the arms' limits, in the form of calibration/cobot.yaml. Empty: that file."""
    image_transport: ImageTransport = "raw"
    """Let the policy read the camera's raw image topic or its /compressed sibling."""
    command_rate_hz: Annotated[float, Range(0.0, FASTEST_COMMAND_RATE_HZ)] = 0.0
    """Rate of set-points to the drivers, 25 to 200 Hz; 0 takes the profile's rate."""
    mode: ExecutionModeName = PolicyParameters.mode
    """How chunks that come late are executed; auto takes the best that horizon and latency carry."""
    older_weight: Annotated[float, Range(0.0, 0.95)] = PolicyParameters.older_weight
    """Weight of the mean of older predictions in the steps of a chunk that they reach."""
    namespace: str = ""
    """ROS namespace of our nodes; the robot's own topics come from the profile."""
    driver_quirks: bool = False
    """Let the simulated drivers behave as badly as the real ones can: missing joint names mean 0 rad, six
    velocities for seven joints."""
    domain_id: Annotated[int, Range(-1, 232)] = -1
    """ROS domain; -1 takes one that nobody uses. ROS_DOMAIN_ID is ignored on purpose: the demo's topics are
    those of the real drivers, and must not reach a robot that is on the user's own domain. A domain that is
    named here is taken even if others are on it: whoever names it answers for no real driver being there."""
    headless: bool = False
    """Do not open the report in a browser at the end."""
    report: Path = Path("reports/demo")
    """Folder for report.json, report.html, trace.json, the episodes and the logs; those of an earlier run are
    replaced. While another demo writes to the default folder, the next takes reports/demo-2, -3, ..."""
