"""How often a scripted expert succeeds: ``python -m svam_ros.simulation.expert_success``.

Each demonstration is executed as it is when it is recorded: chunk steps at 25 Hz, interpolated linearly
and streamed to the arms' drivers at the robot profile's rate.
"""

from __future__ import annotations

import argparse
import time

from svam_ros.cobot import load_robot_profile
from svam_ros.parameters import SimulationParameters
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import SimulatedRobot, stream_step
from svam_ros.simulation.tasks import TASKS
from svam_ros.types import FloatArray


def execute(robot: SimulatedRobot, targets: FloatArray) -> bool:
    """Stream ``(n, 14)`` chunk steps to the arms; gives whether the task is done at the end."""
    before = robot.cobot.home
    for target in targets:
        stream_step(robot, before, target)
        before = target
    return robot.simulation.success()


def failing_seeds(task: str, seeds: range, *, shared: bool = False) -> list[int]:
    """The seeds on which the expert fails, in scenes of the task's own or in shared ones."""
    profile = load_robot_profile(SimulationParameters().profile)
    failed = []
    for seed in seeds:
        robot = SimulatedRobot(task, seed, profile, shared=shared)
        if not execute(robot, plan_demonstration(robot.simulation)):
            failed.append(seed)
    return failed


def main() -> None:
    """Print successes of the expert on a range of seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--seeds", type=int, default=50, help="how many, counted from 0")
    parser.add_argument("--shared", action="store_true", help="scenes in which other tasks are possible too")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    failed = failing_seeds(arguments.task, range(arguments.seeds), shared=arguments.shared)
    seconds = time.perf_counter() - begin
    print(f"{arguments.task}: {arguments.seeds - len(failed)} of {arguments.seeds} in {seconds:.1f} s")
    if failed:
        print(f"failed seeds: {failed}")


if __name__ == "__main__":
    main()
