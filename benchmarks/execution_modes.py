"""Fresh steps a second in every execution mode, at several latencies with jitter, on a simulated clock.

    python -m benchmarks.execution_modes --minutes 10

Prints a table in Markdown. Modes that a policy would refuse at start are named as refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tyro

from benchmarks.execution_runs import FRAME_PERIOD_NS, MS, STEP_NS, run
from svam_ros.control.execution_mode import ExecutionMode, obstacle
from svam_ros.types import Horizon


@dataclass(frozen=True)
class Options:
    """What is simulated."""

    minutes: float = 10.0
    """Of simulated time in each cell."""
    forward_ms: tuple[float, ...] = (60.0, 150.0, 308.0, 500.0)
    """Mean times of a forward pass."""
    jitter: float = 0.1
    """Standard deviation of a pass's time, as a share of its mean."""
    horizons: tuple[int, ...] = (16, 24)
    """Predicted steps; 8 of them are executed where a mode plays chunks from their beginning."""
    seed: int = 0
    """Of the jitter and the camera's phase."""


def main(options: Options) -> None:
    """Simulate, print."""
    modes = list(ExecutionMode)
    print("| forward ms | predicted steps | " + " | ".join(mode.value for mode in modes) + " |")
    print("| --- | --- |" + " --- |" * len(modes))
    for forward_ms in options.forward_ms:
        for steps in options.horizons:
            cells = [_cell(options, mode, forward_ms, steps) for mode in modes]
            print(f"| {forward_ms:g} | {steps} | " + " | ".join(cells) + " |")


def _cell(options: Options, mode: ExecutionMode, forward_ms: float, steps: int) -> str:
    horizon = Horizon(steps, 8 if not mode.keeps_time else steps, steps // 2 if mode.keeps_time else 0)
    latency_ns = round(forward_ms * MS) + FRAME_PERIOD_NS // 2
    if obstacle(mode, horizon, latency_ns, STEP_NS) is not None:
        return "refused"
    random = np.random.default_rng(options.seed)

    def pass_ms() -> float:
        return max(1.0, random.normal(forward_ms, options.jitter * forward_ms))

    def frame_age_ms() -> float:
        return random.uniform(0.0, FRAME_PERIOD_NS / MS)

    outcome = run(mode, horizon, pass_ms, frame_age_ms, 60.0 * options.minutes)
    return f"{outcome.fresh_hz:.1f} Hz, {outcome.mean_age_ms:.0f} ms old"


if __name__ == "__main__":
    main(tyro.cli(Options))
