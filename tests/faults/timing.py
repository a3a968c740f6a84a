"""How late the guard is, from outside: ``python -m faults.timing`` (``make timing``).

The arms swing, a network runs at full load beside the guard, and an operator stops again and again. From what
a referee process hears it prints, p50 / p99 / worst:

- how much later than its due time each set-point is heard, above the quickest of all;
- from the operator's call to the first set-point that brakes;
- from there, and from kill -9 of the guard, until the measured arms stand.

Examples::

    make timing
    make timing ARGS="--stops 10 --kills 2 --seconds 20"
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from faults.rig import FaultRig
from faults.trial_record import Track, TrialRecord
from svam_ros import graph
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments

INFERENCE = """
import torch
torch.set_num_threads(1)
matrix = torch.rand(1024, 1024)
while True:
    matrix = torch.nn.functional.normalize(matrix @ matrix)
"""
BRAKING_JERK = 30.0
"""rad/s3: the swing's own is 6 at most, and braking begins with 100."""
SETTLE_S = 0.9


def lateness_ms(record: TrialRecord) -> NDArray[np.float64]:
    """Of every set-point of both arms."""
    late = [track.heard_ns - track.stamp_ns for track in record.commands.values()]
    return np.concatenate([(row - row.min()) / 1e6 for row in late])


def first_braking_ns(track: Track, since_ns: int) -> int:
    """When the first set-point was heard that leaves the swing; steady."""
    steps_s = float(np.median(np.diff(track.stamp_ns))) / 1e9
    jerk = np.abs(np.diff(track.positions[:, 0], n=3)) / steps_s**3
    heard_ns = track.heard_ns[3:]
    braking = np.flatnonzero((heard_ns > since_ns) & (jerk > BRAKING_JERK))
    assert len(braking), "no set-point braked"
    return int(heard_ns[braking[0]])


def measure(rig: FaultRig, stops: int, kills: int, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Run it; times by what they are of."""
    times: dict[str, list[float]] = {"stop to braking": [], "braking to rest": [], "kill to rest": []}
    rig.prepare()
    service = graph.STOP_SERVICE.replace("~", graph.GUARD_NODE)
    client = rig.operator.node.create_client(Trigger, service)
    rig.wait("the stop service", client.service_is_ready, 10.0)
    rig.follow()
    rig.begin()
    rig.pause(seconds)
    late_ms = lateness_ms(rig.record())
    for _ in range(stops):
        rig.begin()
        rig.pause(0.5)
        called_ns = time.monotonic_ns()
        client.call_async(Trigger.Request())
        rig.pause(SETTLE_S)
        record = rig.record()
        braking_ns = min(first_braking_ns(track, called_ns) for track in record.commands.values())
        times["stop to braking"].append((braking_ns - called_ns) / 1e6)
        times["braking to rest"].append(record.rest_ms(braking_ns))
        rig.follow()
    for _ in range(kills):
        rig.begin()
        killed_ns = rig.kill(graph.GUARD_NODE)
        rig.pause(SETTLE_S)
        times["kill to rest"].append(rig.record().rest_ms(killed_ns))
        rig.prepare()
        rig.follow()
    return {"set-point later than due": late_ms} | {what: np.array(row) for what, row in times.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="timing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stops", type=int, default=100, help="of the operator")
    parser.add_argument("--kills", type=int, default=10, help="of the guard")
    parser.add_argument("--seconds", type=float, default=60.0, help="of undisturbed motion")
    return parser.parse_args()


def main() -> int:
    """Measure, print."""
    arguments = _arguments()
    of_others = frozenset(segments())
    with (
        claim_domain_id() as domain_id,
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, "-c", INFERENCE]) as inference,
    ):
        os.environ.update(ros_environment(domain_id) | {"ROS_LOG_DIR": folder})
        rig = FaultRig(Path(folder), dict(os.environ))
        try:
            found = measure(rig, arguments.stops, arguments.kills, arguments.seconds)
        except KeyboardInterrupt:
            print("ended early: nothing is told of so few")
            return 130
        finally:
            rig.close()
            inference.kill()
            remove_abandoned_segments(keep=of_others, left_the_graph=True)
    for name, row in found.items():
        p50, p99, worst = np.percentile(row, [50, 99, 100]) if len(row) else (np.nan,) * 3
        print(f"{name:26} p50 {p50:6.1f}  p99 {p99:6.1f}  worst {worst:6.1f} ms  of {len(row)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
