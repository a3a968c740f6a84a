"""All variants with all seeds: trained, tried in closed loop, put into the table. Whatever is there stays.

Seeds come one after the other, each with all variants, so that after the first one there is a whole table.
Several processes may work in one folder if each has seeds, or variants, of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.ablation.cells import Cell, trained_cells
from svam_train.ablation.figures import ablation_figures
from svam_train.ablation.network_variants import apply_variant
from svam_train.ablation.parents import Parents
from svam_train.ablation.table import write_table
from svam_train.ablation.trained_variant import trained_variant
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import EpisodeSet
from svam_train.evaluation.attempts import AttemptPlan, run_attempts
from svam_train.evaluation.evaluation_report import summarise
from svam_train.evaluation.policies import PolicyChoice
from svam_train.recipes.ablation import VARIANTS, AblationPlan, Variant
from svam_train.recipes.actions import ActionRecipe
from svam_train.stages.action_run import STAGE as ACTIONS_STAGE
from svam_train.stages.action_run import ActionRun, NetworkChange, Told, train_actions
from svam_train.stages.frozen_features import check_feature_room, feature_bytes
from svam_train.training.progress_bar import progress_bar
from svam_train.training.run_folder import RunFolder

STAGE = "ablation"


@dataclass(frozen=True)
class AblationRun:
    """On what and where."""

    folder: Path
    parents: Parents
    training: EpisodeSet
    held_out: EpisodeSet
    facts: Mapping[str, Any]
    """Of the data."""
    features: Path
    """Where features are kept that the recipe wants on disk, shared by all variants."""
    plan: AblationPlan
    attempts: AttemptPlan
    """Scenes, tasks and loop of the closed loop."""
    workers: int
    """Processes that try at the same time."""
    device: str = "cpu"

    def cells(self) -> list[Cell]:
        """What the plan is about, in the order in which it is done."""
        variants = [VARIANTS[name] for name in self.plan.variants]
        return [Cell(variant, seed, self.folder) for seed in self.plan.seeds for variant in variants]


def run_ablation(
    recipe: ActionRecipe,
    run: AblationRun,
    *,
    resume: bool,
    say: Callable[[str], None],
    told: Told | None = None,
) -> None:
    """Do what is left to do; the table is written anew after every cell.

    Args:
        recipe: what every variant is trained with; its seed is replaced.
        run: on what, and where.
        resume: go on where the folder stands.
        say: is told what begins, and how long all may take.
        told: progress of computing features.

    Raises:
        DataError: the data does not hold what the recipe wants.
        RunError: the folder holds something else, or a parent or the disk does not do.
        Interrupted: a signal asked for the end while training; what was done is saved.
    """
    folder = RunFolder(run.folder, _config(recipe, run), {"decouplers": run.parents.generated})
    for name in run.plan.variants:
        run.parents.of(VARIANTS[name])
    folder.begin(resume=resume)
    untrained = [cell for cell in run.cells() if not cell.is_trained(run.parents.of(cell.variant))]
    if untrained and recipe.features == "disk":
        check_room_for_features(recipe, run)
    work = _Work(run, len(untrained), say)
    for cell in run.cells():
        if cell in untrained:
            with work.timed("training", cell, 1):
                _train(cell, recipe, run, resume=resume, told=told)
        missing = cell.missing_tasks(run.attempts)
        if missing:
            attempts = replace(run.attempts, tasks=missing)
            with work.timed("trying", cell, len(missing) * attempts.episodes):
                _evaluate(cell, recipe, run, attempts)
        write_table(run.folder, ablation_figures(trained_cells(run.folder), recipe))


def variant_change(variant: Variant) -> NetworkChange:
    """A variant as training takes it."""
    ordinary = variant.resampling == "attention"
    stage = ACTIONS_STAGE if ordinary else STAGE
    return NetworkChange(asdict(variant), lambda network: apply_variant(network, variant), stage)


def with_seed(recipe: ActionRecipe, seed: int) -> ActionRecipe:
    """The recipe of one cell."""
    return replace(recipe, training=replace(recipe.training, seed=seed))


def check_room_for_features(recipe: ActionRecipe, run: AblationRun) -> None:
    """Before anything is computed.

    Raises:
        RunError: the disk has too little room for the features of all pictures.
    """
    sets = len({run.parents.of(VARIANTS[name]) for name in run.plan.variants})
    sides = (run.training, run.held_out)
    needed = sets * sum(feature_bytes(EpisodeRows(side), recipe.config) for side in sides)
    check_feature_room(run.features, needed)


def _config(recipe: ActionRecipe, run: AblationRun) -> dict[str, Any]:
    """What all cells of the folder have alike; variants, seeds and tasks may be added later."""
    return {
        "stage": STAGE,
        "recipe": asdict(recipe),
        "data": dict(run.facts),
        "loop": asdict(run.attempts.loop),
        "episodes": run.attempts.episodes,
        "first_scene": run.attempts.seed,
    }


def _train(cell: Cell, recipe: ActionRecipe, run: AblationRun, *, resume: bool, told: Told | None) -> None:
    where = ActionRun(
        run.training,
        run.held_out,
        run.facts,
        run.parents.of(cell.variant),
        cell.run,
        run.features,
        run.device,
        variant_change(cell.variant),
    )
    train_actions(with_seed(recipe, cell.seed), where, resume=resume, told=told)


def _evaluate(cell: Cell, recipe: ActionRecipe, run: AblationRun, plan: AttemptPlan) -> None:
    """Each task is written down when all of its attempts are made."""
    image = ImagePreparation(**run.facts["image"])
    model = trained_variant(cell.run, cell.variant, with_seed(recipe, cell.seed), image)
    choice = PolicyChoice("model", model, "eager", Path(), plan.tasks)
    subject = cell.subject(plan.loop)
    with _threads_kept(), progress_bar(len(plan.tasks) * plan.episodes) as bar:
        for _, made in groupby(run_attempts(choice, plan, run.workers), key=lambda made: made.task):
            attempts = []
            for attempt in made:
                attempts.append(attempt)
                outcome = "done" if attempt.success else "not done"
                bar.show(f"{cell.name}: {attempt.task} seed {attempt.seed} {outcome}")
            (report,) = summarise(attempts, subject)
            cell.save_result(report)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """An engine sets the number of threads for the whole process; training wants its own back."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Work:
    """Says what begins, and from what was done so far how long the rest may take."""

    def __init__(self, run: AblationRun, untrained: int, say: Callable[[str], None]) -> None:
        self._say = say
        untried = sum(len(cell.missing_tasks(run.attempts)) for cell in run.cells())
        self._left = {"training": untrained, "trying": untried * run.attempts.episodes}
        self._spent_s = {"training": 0.0, "trying": 0.0}
        self._done = {"training": 0, "trying": 0}

    @contextmanager
    def timed(self, what: str, cell: Cell, count: int) -> Iterator[None]:
        """``count`` trainings, or attempts, of a cell."""
        left = self.left_s()
        rest = f"; about {timedelta(seconds=round(left))} for all that is left" if left else ""
        self._say(
            f"{what} {cell.name} ({self._left['training']} to train, {self._left['trying']} attempts to "
            f"make{rest})"
        )
        started = time.monotonic()
        yield
        self._spent_s[what] += time.monotonic() - started
        self._done[what] += count
        self._left[what] -= count

    def left_s(self) -> float | None:
        """``None`` where nothing of a kind that is left was done yet."""
        if any(count and not self._done[what] for what, count in self._left.items()):
            return None
        return sum(
            self._spent_s[what] / self._done[what] * count for what, count in self._left.items() if count
        )
