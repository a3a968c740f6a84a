"""How often a scripted expert succeeds: ``python -m svam_ros.simulation.expert_success``.

Each demonstration is executed as it will be in reality: chunk steps at 25 Hz, interpolated
linearly and streamed to the arms' drivers at 100 Hz.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from svam_ros.cobot import ARM_NAMES
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.tasks import TASKS
from svam_ros.types import FloatArray

STREAM_RATE_HZ = 100.0


def execute(
    simulation: CobotSimulation, targets: FloatArray, on_step: Callable[[int], None] | None = None
) -> bool:
    """Stream ``(n, 14)`` chunk steps to the arms; gives whether the task is done at the end.

    ``on_step(i)`` is called before the way to ``targets[i]`` begins.
    """
    cobot = simulation.cobot
    substeps = round(cobot.control_period_s * STREAM_RATE_HZ)
    previous = cobot.home
    for index, target in enumerate(targets):
        if on_step is not None:
            on_step(index)
        for share in np.arange(1, substeps + 1) / substeps:
            set_point = previous + share * (target - previous)
            for arm in ARM_NAMES:
                simulation.command(arm, set_point[cobot.arm_slice(arm)])
            simulation.step(1.0 / STREAM_RATE_HZ)
        previous = target
    return simulation.success()


def count_successes(task: str, seeds: range) -> list[int]:
    """The seeds on which the expert fails."""
    failed = []
    for seed in seeds:
        simulation = CobotSimulation(task, seed)
        if not execute(simulation, plan_demonstration(simulation)):
            failed.append(seed)
    return failed


def main() -> None:
    """Print successes of the expert on a range of seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--seeds", type=int, default=50, help="how many, counted from 0")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    failed = count_successes(arguments.task, range(arguments.seeds))
    seconds = time.perf_counter() - begin
    print(f"{arguments.task}: {arguments.seeds - len(failed)} of {arguments.seeds} in {seconds:.1f} s")
    if failed:
        print(f"failed seeds: {failed}")


if __name__ == "__main__":
    main()
