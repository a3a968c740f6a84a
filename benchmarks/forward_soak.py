"""Whether an engine's memory grows and its passes become slower over thousands of them.

    python -m benchmarks.forward_soak --model models/mine --engine openvino --passes 10000

Prints a table in Markdown, one row for every tenth of the run, and ends with exit code 1 if memory, open
files or threads grew.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import tyro

from svam_ros.cli.profile_measurement import synthetic_observation
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import DeviceName, DtypeName, EngineName, Range, check_options
from svam_ros.types import Observation

WINDOWS = 10

ALLOWED_GROWTH_MB = 2.0
"""Between the second window and the last: a hundred bytes a pass would be 0.9 MB over 10,000."""


@dataclass(frozen=True)
class Options:
    """What is run."""

    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package."""
    engine: EngineName = "eager"
    """The way to run the network."""
    device: DeviceName = "cpu"
    """Where it runs."""
    dtype: DtypeName = "auto"
    """In which precision."""
    passes: Annotated[int, Range(10, 10_000_000)] = 10_000
    """In all; a multiple of ten."""


@dataclass(frozen=True)
class Window:
    """A tenth of the run."""

    p50_ms: float
    p99_ms: float
    resident_mb: float
    open_files: int
    threads: int
    python_objects: int


def main(options: Options) -> int:
    """Run, print, judge."""
    check_options(options)
    from svam_ros.artifacts.model_directory import open_model

    model = open_model(options.model, any_robot=True)
    engine = create_engine(options.engine, model, device=options.device, dtype=options.dtype, threads=1)
    observation = synthetic_observation("cobot_magic", model.tokenizer.known_words()[0])
    print("| passes | p50 ms | p99 ms | resident MB | open files | threads | Python objects |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    windows: list[Window] = []
    for number in range(1, WINDOWS + 1):
        windows.append(_run_window(engine, observation, options.passes // WINDOWS))
        row = windows[-1]
        print(
            f"| {number * (options.passes // WINDOWS)} | {row.p50_ms:.2f} | {row.p99_ms:.2f} | "
            f"{row.resident_mb:.1f} | {row.open_files} | {row.threads} | {row.python_objects} |",
            flush=True,
        )
    engine.close()
    faults = judge(windows)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def judge(windows: list[Window]) -> list[str]:
    """One sentence for everything that grew from the second window, when all is warm, to the last."""
    begin, end = windows[1], windows[-1]
    grown = end.resident_mb - begin.resident_mb
    faults = [f"memory grew by {grown:.1f} MB"] if grown > ALLOWED_GROWTH_MB else []
    for name in ("open_files", "threads", "python_objects"):
        more = getattr(end, name) - getattr(begin, name)
        if more > (len(windows) if name == "python_objects" else 0):  # the windows themselves are objects
            faults.append(f"{more} more {name.replace('_', ' ')}")
    return faults


def _run_window(engine: PolicyEngine, observation: Observation, passes: int) -> Window:
    times_ms = np.empty(passes)
    for index in range(passes):
        started = time.perf_counter()
        engine.infer(observation)
        times_ms[index] = (time.perf_counter() - started) * 1e3
    gc.collect()
    process = psutil.Process()
    p50, p99 = np.percentile(times_ms, [50, 99], method="inverted_cdf")
    return Window(
        p50_ms=float(p50),
        p99_ms=float(p99),
        resident_mb=process.memory_info().rss / 1e6,
        open_files=len(os.listdir(Path("/proc/self/fd"))),
        threads=process.num_threads(),
        python_objects=len(gc.get_objects()),
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
