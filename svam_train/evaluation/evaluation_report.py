"""A closed-loop evaluation as a file: what was run, on which scenes, how it ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from svam_ros.profiling.success_rate import SuccessRate
from svam_train.evaluation.closed_loop import Episode
from svam_train.evaluation.loop_settings import LoopSettings


@dataclass(frozen=True)
class EvaluationReport:
    """One policy on one task."""

    task: str
    policy: str
    """``model``, ``blind`` or ``replay``."""
    latency_ms: float
    """From the frame to the arrival of its chunk at the guard."""
    replan_steps: int
    """Control steps between two observations."""
    ramp_speed_fraction: float
    """Of the guard, after the engage."""
    episode_s: float
    """Time for one attempt."""
    seeds: tuple[int, ...]
    successes: tuple[bool, ...]
    steps: tuple[int, ...]

    @property
    def rate(self) -> SuccessRate:
        """Successes out of episodes."""
        return SuccessRate(sum(self.successes), len(self.successes))

    @property
    def label(self) -> str:
        """A name for the manifest: what, in which loop, and how often tried."""
        loop = f"latency_{self.latency_ms:g}_ms_replan_{self.replan_steps}_ramp_{self.ramp_speed_fraction:g}"
        return f"{self.task}_{self.policy}_{loop}_n_{len(self.seeds)}"


def summarise(episodes: list[Episode], policy: str, settings: LoopSettings) -> list[EvaluationReport]:
    """One report for every task, in the order of first appearance."""
    tasks = dict.fromkeys(episode.task for episode in episodes)
    reports = []
    for task in tasks:
        chosen = [episode for episode in episodes if episode.task == task]
        reports.append(
            EvaluationReport(
                task=task,
                policy=policy,
                latency_ms=settings.latency_ms,
                replan_steps=settings.replan_steps,
                ramp_speed_fraction=settings.ramp_speed_fraction,
                episode_s=settings.episode_s,
                seeds=tuple(e.seed for e in chosen),
                successes=tuple(e.success for e in chosen),
                steps=tuple(e.steps for e in chosen),
            )
        )
    return reports


def reports_to_json(reports: list[EvaluationReport]) -> str:
    """With rate and interval written out for readers; :func:`load_reports` ignores them."""
    entries = [
        {**asdict(r), "rate": r.rate.rate, "wilson_95": list(r.rate.wilson_interval())} for r in reports
    ]
    return json.dumps(entries, indent=2) + "\n"


def load_reports(path: Path) -> list[EvaluationReport]:
    """Read what :func:`reports_to_json` wrote.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError(f"expected a list, got {type(entries).__name__}")
        return [_read(entry) for entry in entries]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: no evaluation report ({error}); make one with 'svam-train evaluate'"
        ) from error


def _read(entry: dict[str, Any]) -> EvaluationReport:
    return EvaluationReport(
        task=str(entry["task"]),
        policy=str(entry["policy"]),
        latency_ms=float(entry["latency_ms"]),
        replan_steps=int(entry["replan_steps"]),
        ramp_speed_fraction=float(entry["ramp_speed_fraction"]),
        episode_s=float(entry["episode_s"]),
        seeds=tuple(entry["seeds"]),
        successes=tuple(entry["successes"]),
        steps=tuple(entry["steps"]),
    )
