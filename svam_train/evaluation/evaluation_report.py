"""A closed-loop evaluation as figures: what was run, on which scenes, how it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dacite import Config, DaciteError, from_dict
from rich.table import Table

from svam_ros.profiling.success_rate import SuccessRate
from svam_train.evaluation.closed_loop import Attempt
from svam_train.evaluation.loop_settings import LoopSettings, PolicyName


@dataclass(frozen=True)
class Subject:
    """What was evaluated."""

    model: str
    """As it was asked for."""
    engine: str
    policy: PolicyName = "model"
    loop: LoopSettings | None = None
    """``None``: through the real nodes in real time, over ROS 2."""
    weights: str | None = None
    """sha256 of the model's weights; ``None`` for a policy without a network."""


@dataclass(frozen=True)
class EvaluationReport:
    """One subject on one task."""

    task: str
    subject: Subject
    seeds: tuple[int, ...]
    successes: tuple[bool, ...]
    steps: tuple[int, ...]
    fractions: tuple[float, ...]
    """How much of the task was done at the end of each attempt; empty where that was not looked at."""

    @property
    def rate(self) -> SuccessRate:
        """Successes out of attempts."""
        return SuccessRate(sum(self.successes), len(self.successes))

    @property
    def mean_fraction(self) -> float | None:
        """How much of the task was done on average."""
        return sum(self.fractions) / len(self.fractions) if self.fractions else None

    @property
    def label(self) -> str:
        """A name for the manifest: what, in which loop, and how often tried."""
        loop = self.subject.loop
        if loop is None:
            return f"{self.task}_{self.subject.policy}_ros_n_{len(self.seeds)}"
        scenes = "_shared" if loop.shared_scenes else ""
        looks = "_varied" if loop.varied_looks else ""
        timing = (
            f"latency_{loop.latency_ms:g}_ms_replan_{loop.replan_steps}_older_{loop.older_weight:g}"
            f"_{loop.mode}"
            f"_ramp_{loop.ramp_speed_fraction:g}"
        )
        return f"{self.task}_{self.subject.policy}{scenes}{looks}_{timing}_n_{len(self.seeds)}"

    def summary(self) -> dict[str, Any]:
        """The figures by name, as ``svam-train evaluate --json`` prints them."""
        low, high = self.rate.wilson_interval()
        subject = self.subject
        return {
            "task": self.task,
            "success_rate": self.rate.rate,
            "low": low,
            "high": high,
            "episodes": len(self.seeds),
            "model": subject.model,
            "engine": subject.engine,
            "policy": subject.policy,
            "ros": subject.loop is None,
            "loop": None if subject.loop is None else asdict(subject.loop),
            "mean_fraction": self.mean_fraction,
            "seeds": list(self.seeds),
            "successes": list(self.successes),
            "steps": list(self.steps),
        }


def summarise(attempts: Sequence[Attempt], subject: Subject) -> list[EvaluationReport]:
    """One report for every task, in the order of first appearance."""
    reports = []
    for task in dict.fromkeys(made.task for made in attempts):
        chosen = [made for made in attempts if made.task == task]
        reports.append(
            EvaluationReport(
                task=task,
                subject=subject,
                seeds=tuple(made.seed for made in chosen),
                successes=tuple(made.success for made in chosen),
                steps=tuple(made.steps for made in chosen),
                fractions=tuple(made.fraction for made in chosen if made.fraction is not None),
            )
        )
    return reports


def result_table(reports: Sequence[EvaluationReport]) -> Table:
    """A row for every task."""
    table = Table("task", "policy", "done", "rate", "95 % interval", "mean share done", "steps to success")
    for report in reports:
        low, high = report.rate.wilson_interval()
        taken = [steps for steps, done in zip(report.steps, report.successes, strict=True) if done]
        share = report.mean_fraction
        table.add_row(
            report.task,
            report.subject.policy,
            f"{report.rate.successes}/{report.rate.trials}",
            f"{100 * report.rate.rate:.0f} %",
            f"{100 * low:.0f}-{100 * high:.0f} %",
            "" if share is None else f"{100 * share:.0f} %",
            f"{sum(taken) / len(taken):.0f}" if taken else "",
        )
    return table


def reports_to_json(reports: Sequence[EvaluationReport]) -> str:
    """The text of a file that :func:`load_reports` reads."""
    return json.dumps([asdict(report) for report in reports], indent=2) + "\n"


def load_reports(path: Path) -> list[EvaluationReport]:
    """Read what :func:`reports_to_json` wrote.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError(f"expected a list, got {type(entries).__name__}")
        config = Config(strict=True, cast=[tuple], type_hooks={float: float})
        return [from_dict(EvaluationReport, entry, config) for entry in entries]
    except (OSError, DaciteError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: no evaluation report ({error}); make one with 'svam-train evaluate --report {path}'"
        ) from error
