"""One variant with one seed: where it lies, and what of it is finished."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from svam_ros.whole_files import write_whole_text
from svam_train.evaluation.attempts import AttemptPlan
from svam_train.evaluation.evaluation_report import (
    EvaluationReport,
    Subject,
    load_reports,
    reports_to_json,
)
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.recipes.ablation import VARIANTS, Variant
from svam_train.stages.inheritance import STATISTICS_FILE
from svam_train.training.run_folder import FINISHED_FILE, PARENT_FILE, RunError, read_json, weights_hash


@dataclass(frozen=True)
class Cell:
    """A run of stage 3, and beside it a file of results for every task."""

    variant: Variant
    seed: int
    base: Path
    """Folder of the whole ablation."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant.name}, seed {self.seed}"

    @property
    def run(self) -> Path:
        """Folder of its run."""
        return self.base / self.variant.name / f"seed_{self.seed}"

    def result_file(self, task: str) -> Path:
        """Where its attempts at a task are told."""
        return self.run / "evaluation" / f"{task}.json"

    def is_trained(self, parent: Path | None = None) -> bool:
        """Whether the run is finished.

        Args:
            parent: the run that it has to be built on; ``None`` does not look.

        Raises:
            RunError: it is finished, but built on another run.
        """
        # The statistics are written last.
        if not all((self.run / name).is_file() for name in (FINISHED_FILE, STATISTICS_FILE)):
            return False
        if parent is not None:
            built_on = read_json(self.run / PARENT_FILE)["parent"]
            if built_on["sha256"] != weights_hash(parent):
                raise RunError(
                    f"{self.run}: was built on {built_on['run']}, which is not what {parent} holds now; "
                    f"delete it to train it anew, or name the run that it was built on"
                )
        return True

    def subject(self, loop: LoopSettings) -> Subject:
        """What is evaluated: these weights."""
        name = f"{self.variant.name}/seed_{self.seed}, weights {weights_hash(self.run)[:12]}"
        return Subject(name, "eager", "model", loop, weights_hash(self.run))

    def missing_tasks(self, plan: AttemptPlan) -> tuple[str, ...]:
        """Tasks of the plan that were not tried yet; all of them where the cell is not trained.

        Raises:
            RunError: a file holds attempts of other weights, on other scenes or in another loop.
        """
        if not self.is_trained():
            return plan.tasks
        return tuple(task for task in plan.tasks if not self._is_tried(task, plan))

    def save_result(self, report: EvaluationReport) -> None:
        """Write down the attempts at a task in one move."""
        path = self.result_file(report.task)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole_text(path, reports_to_json([report]))

    def results(self) -> dict[str, EvaluationReport]:
        """All tasks that were tried.

        Raises:
            ValueError: a file cannot be read.
        """
        paths = sorted((self.run / "evaluation").glob("*.json"))
        return {report.task: report for path in paths for report in load_reports(path)}

    def _is_tried(self, task: str, plan: AttemptPlan) -> bool:
        path = self.result_file(task)
        if not path.exists():
            return False
        (report,) = load_reports(path)
        wanted = tuple(seed for of, seed in plan.scenes() if of == task)
        if report.subject != self.subject(plan.loop) or report.seeds != wanted:
            raise RunError(
                f"{path}: holds attempts of {report.subject.model} on {len(report.seeds)} scenes from "
                f"{report.seeds[0]} on, other weights, scenes or another loop than wanted; delete the file "
                f"to try anew"
            )
        return True


def trained_cells(base: Path) -> Iterator[Cell]:
    """Every finished run below the folder, variants in their usual order, seeds in theirs."""
    for variant in VARIANTS.values():
        folders = (base / variant.name).glob("seed_*")
        seeds = sorted(int(path.name[5:]) for path in folders if re.fullmatch(r"seed_\d+", path.name))
        yield from (cell for seed in seeds if (cell := Cell(variant, seed, base)).is_trained())
