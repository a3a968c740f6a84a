"""Random faults for half an hour: ``python -m faults.soak`` (``make soak``).

Nothing may be violated, and no process may grow. The seed decides which fault follows which, so that a run
can be repeated. For the first four fifths of the time guard and policy stay alive, so that what they hold can
be compared; then everything may be killed. Examples::

    make soak
    make soak ARGS="--hours 8 --seed 3"
    make soak ARGS="--minutes 5"
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from faults.footprint import Footprint, growth
from faults.rig import FaultRig
from faults.row import Row, what_went_wrong
from faults.table import TABLE
from svam_ros import graph
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments

NODES = (graph.GUARD_NODE, graph.POLICY_NODE)
KEEPING_SHARE = 0.8
IN_PLACE = (1, 2, 3, 4, 5, 6, 7, 8, 9, 19, 22, 25, 26, 27, 28)
"""Rows that leave guard and policy alive."""


class Soak:
    """One run.

    Args:
        rig: on a domain of its own.
        seed: of the order of the faults.
        seconds: of the whole.
    """

    def __init__(self, rig: FaultRig, seed: int, seconds: float) -> None:
        self._rig = rig
        self._choose = random.Random(seed)
        self._began = time.monotonic()
        self._seconds = seconds
        self.trials = 0
        self.violations: list[str] = []
        self.footprints: dict[tuple[str, int], list[Footprint]] = defaultdict(list)

    def run(self) -> None:
        """Until the time is over."""
        in_place = [row for row in TABLE if row.number in IN_PLACE]
        while (elapsed_s := time.monotonic() - self._began) < self._seconds:
            keeping = elapsed_s < KEEPING_SHARE * self._seconds
            self._try(self._choose.choice(in_place if keeping else TABLE))
            self._measure()
            left_min = (self._seconds - (time.monotonic() - self._began)) / 60.0
            so_far = f"{self.trials} faults, {len(self.violations)} violations"
            print(f"\r{so_far}, {max(0.0, left_min):.0f} min left ", end="", flush=True)

    def verdicts(self) -> list[str]:
        """What was wrong; prints what the processes hold."""
        wrong = list(self.violations)
        for (name, pid), footprints in self.footprints.items():
            sentence, too_much = growth(footprints)
            print(f"{name} {pid}: {sentence}")
            wrong += [f"{name} {pid} grew: {figure}" for figure in too_much]
        return wrong

    def _try(self, row: Row) -> None:
        self.trials += 1
        try:
            figures = row.trial(self._rig)
        except Exception as error:  # whatever it was, the run goes on and tells
            self._violated(row, what_went_wrong(error))
            return
        for name, value in figures.items():
            if value > row.figures[name]:
                self._violated(row, f"{name} {value:.3g}, allowed {row.figures[name]:g}")

    def _violated(self, row: Row, what: str) -> None:
        at_min = (time.monotonic() - self._began) / 60.0
        self.violations.append(f"fault {self.trials}, minute {at_min:.1f}, {row.title}: {what}")
        print(f"\r{self.violations[-1]}")

    def _measure(self) -> None:
        at_s = time.monotonic() - self._began
        for name in NODES:
            if self._rig.is_alive(name):
                pid = self._rig.supervisor.pid(name)
                self.footprints[name, pid].append(Footprint.of(pid, at_s))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--hours", type=float, default=0.0, help="instead of minutes")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    """0 without violations and growth."""
    arguments = _arguments()
    seconds = 3600.0 * arguments.hours or 60.0 * arguments.minutes
    of_others = frozenset(segments())
    with claim_domain_id() as domain_id, tempfile.TemporaryDirectory() as folder:
        os.environ.update(ros_environment(domain_id) | {"ROS_LOG_DIR": folder})
        rig = FaultRig(Path(folder), dict(os.environ))
        soak = Soak(rig, arguments.seed, seconds)
        try:
            soak.run()
        except KeyboardInterrupt:
            print("\nended early")
        finally:
            rig.close()
            remove_abandoned_segments(keep=of_others, left_the_graph=True)
    print(f"\n{soak.trials} faults, seed {arguments.seed}")
    wrong = soak.verdicts()
    print("\n".join(wrong) if wrong else "nothing was violated, nothing grew")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
