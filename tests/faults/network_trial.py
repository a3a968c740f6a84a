"""Row 29 from within the robot's host: ``python -m faults.network_trial <policy's host> <folder>``.

Prints the figures as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from faults.rig import SWING, FaultRig
from faults.row import FORGET_S, Figures, Suffered, assert_sound
from faults.trial_record import STILL_RAD, TrialRecord
from faults.two_hosts import command_in, connect, cut
from svam_ros import graph
from svam_ros.bringup.process_table import ProcessSpec
from svam_ros.bringup.ros_environment import ros_environment
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.control.faults import Fault

DOMAIN_ID = 20
"""Nobody else is in these namespaces."""
CUT_S = 3.0


class TwoHostSupervisor(Supervisor):
    """Starts the policy on its own host."""

    def __init__(self, environment: dict[str, str], logs: Path, policy_host: str) -> None:
        super().__init__(environment, logs)
        self._policy_host = policy_host

    def command(self, spec: ProcessSpec, parameters: Path) -> list[str]:
        """See :class:`svam_ros.bringup.supervisor.Supervisor`."""
        command = super().command(spec, parameters)
        return command_in(self._policy_host, command) if spec.name == graph.POLICY_NODE else command


def network_environment() -> dict[str, str]:
    """UDP alone: shared memory would not notice that the cable is out."""
    variables = {**os.environ, **ros_environment(DOMAIN_ID)}
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        variables.pop(name, None)
    variables["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
    variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
    return variables


def run(rig: FaultRig, policy_host: str) -> Figures:
    """The cable is pulled out in mid-motion, and put in again."""
    rig.prepare_robot()
    rig.parts["camera"].tell(camera="jpeg")
    rig.start_policy(
        {"model": SWING, "instruction": "swing", "mode": "aligned", "image_transport": "compressed"}
    )
    rig.begin()
    rig.follow()
    rig.pause(FORGET_S)
    since_ns = cut(policy_host)
    rig.wait_named(Fault.POLICY_SILENT, graph.GUARD_NODE)
    rig.wait_state("holding")
    rig.pause(CUT_S)
    healed_ns, healed_ros_ns = connect(policy_host), time.time_ns()
    rig.wait_state("following", 30.0)
    rig.pause(1.0)
    record = rig.record()
    assert_sound(rig, record)
    assert_stood_until_fresh(record, healed_ns, healed_ros_ns)
    suffered = Suffered(record, since_ns)
    return {
        "named_ms": suffered.named_ms(Fault.POLICY_SILENT, graph.GUARD_NODE),
        "rest_ms": rest_ms(record, since_ns, healed_ns),
    }


def rest_ms(record: TrialRecord, since_ns: int, until_ns: int) -> float:
    """When the arms were at rest before ``until_ns``, ms after ``since_ns``."""
    latest = 0.0
    for track in record.states.values():
        before = track.heard_ns < until_ns
        heard_ns, positions = track.heard_ns[before], track.positions[before]
        moving = heard_ns[np.abs(positions - positions[-1]).max(axis=1) > STILL_RAD]
        latest = max(latest, (int(moving[-1]) - since_ns) / 1e6 if len(moving) else 0.0)
    return latest


def assert_stood_until_fresh(record: TrialRecord, healed_ns: int, healed_ros_ns: int) -> None:
    """Nothing that was observed before the cable was in again moved the arms."""
    fresh_ns = min(chunk["heard_ns"] for chunk in record.chunks if chunk["stamp_ns"] >= healed_ros_ns)
    for arm, track in record.states.items():
        rows = (track.heard_ns >= healed_ns) & (track.heard_ns < fresh_ns)
        moved = np.ptp(track.positions[rows], axis=0).max() if rows.any() else 0.0
        assert moved <= STILL_RAD, f"the {arm} arm moved by {moved:.4f} before anything fresh was there"


def main(policy_host: str, folder: Path) -> int:
    """Run the trial; the figures, or what was wrong."""
    environment = network_environment()
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
    supervisor = TwoHostSupervisor(environment, folder / "logs", policy_host)
    rig = FaultRig(folder, environment, supervisor)
    try:
        print(json.dumps(run(rig, policy_host)))
    finally:
        rig.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
