"""Row 29: the network between the policy's host and the robot's is cut, and heals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from faults.rig import FaultRig
from faults.row import BRAKE_MS, HORIZON_MS, NAMED_MS, Figures, NotHere, row
from faults.two_hosts import TwoHosts, command_in, obstacle

TRIAL_S = 240.0


@row(29, "a cut network that heals", named_ms=NAMED_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def cut_network(rig: FaultRig) -> Figures:
    """As when the policy died; what comes late after the cut moves nothing."""
    if obstacle():
        raise NotHere(obstacle())
    folder = rig.folder / "network"
    folder.mkdir(exist_ok=True)
    tests = str(Path(__file__).resolve().parents[1])
    with TwoHosts() as hosts:
        trial = [sys.executable, "-m", "faults.network_trial", hosts.policy, str(folder)]
        done = subprocess.run(
            command_in(hosts.robot, trial),
            env={**rig.environment, "PYTHONPATH": tests},
            capture_output=True,
            text=True,
            check=False,
            timeout=TRIAL_S,
        )
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1:]
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures
