"""The same question asked of the real nodes: ``svam demo`` in real time, its report read back."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from svam_train.episodes.scene_seeds import EVALUATION_SEEDS_FROM
from svam_train.evaluation.attempts import AttemptPlan
from svam_train.evaluation.closed_loop import Attempt


class DemoRunFailed(RuntimeError):
    """``svam demo`` ended without a report that can be read; the text says what it said."""


def run_through_nodes(model: str, engine: str, plan: AttemptPlan) -> Iterator[Attempt]:
    """Attempts of every task through policy_node, guard_node and cobot_sim_node, one run for each task.

    What was finished before Ctrl-C is told, then ``KeyboardInterrupt`` is raised.

    Raises:
        DemoRunFailed: a run failed.
        ValueError: the plan asks for what the nodes do not do.
    """
    if plan.films is not None or plan.loop.shared_scenes or plan.loop.varied_looks:
        raise ValueError(
            "through the nodes there are no films, shared scenes or varied looks: their recordings and page "
            "are 'svam demo's; leave these options out, or --ros"
        )
    for task in plan.tasks:
        with tempfile.TemporaryDirectory(prefix="svam-evaluation-") as folder:
            yield from _run_demo(task, model, engine, plan, Path(folder))


def demo_command(task: str, model: str, engine: str, plan: AttemptPlan, folder: Path) -> list[str]:
    """What is run for one task."""
    options = {
        "task": task,
        "model": model,
        "engine": engine,
        "episodes": plan.episodes,
        "seed": EVALUATION_SEEDS_FROM + plan.seed,
        "seconds": plan.loop.episode_s,
        "profile": plan.loop.profile,
        "report": folder,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "svam_ros.cli", "demo", "--headless", *words]


def _run_demo(task: str, model: str, engine: str, plan: AttemptPlan, folder: Path) -> Iterator[Attempt]:
    command = demo_command(task, model, engine, plan, folder)
    interrupted = False
    # Ctrl-C reaches the demo as well: it brakes the arms, writes its report and ends.
    with subprocess.Popen(command, stdout=sys.stderr) as demo:
        try:
            demo.wait()
        except KeyboardInterrupt:
            interrupted = True
            demo.wait()
    path = folder / "report.json"
    if demo.returncode and not path.exists():
        if interrupted:
            raise KeyboardInterrupt
        raise DemoRunFailed(f"'svam demo' ended with exit code {demo.returncode}: what it said is above")
    yield from read_attempts(path)
    if interrupted:
        raise KeyboardInterrupt
    if demo.returncode:
        raise DemoRunFailed(f"'svam demo' ended early, with exit code {demo.returncode}: it said why above")


def read_attempts(path: Path) -> list[Attempt]:
    """The attempts in a ``report.json`` of ``svam demo``.

    Raises:
        DemoRunFailed: it cannot be read.
    """
    try:
        episodes = json.loads(path.read_text(encoding="utf-8"))["episodes"]
        return [Attempt(e["task"], int(e["seed"]), bool(e["success"]), int(e["steps"])) for e in episodes]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoRunFailed(f"{path}: no report of 'svam demo' ({error!r})") from error
