"""The numbers of the table, from what every cell left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from svam_ros.parameters import TaskName
from svam_ros.profiling.success_rate import SuccessRate
from svam_train.ablation.cells import Cell
from svam_train.ablation.network_variants import Parameters, count_parameters
from svam_train.ablation.paired_statistics import Interval, mean_interval, scene_interval, sign_flip_p
from svam_train.ablation.parents import last_held_out, recipe_differences
from svam_train.evaluation.evaluation_report import EvaluationReport
from svam_train.recipes.ablation import REFERENCE, Variant
from svam_train.recipes.actions import ActionRecipe
from svam_train.training.run_folder import FINISHED_FILE, PARENT_FILE, read_json

ALL_TASKS = "all tasks"

Scene = tuple[str, int]
"""Task and seed of the simulation."""
Outcomes = Mapping[int, Mapping[Scene, bool]]
"""By training seed: which scenes were done."""


@dataclass(frozen=True)
class Rate:
    """Successes with their 95 % interval (Wilson)."""

    successes: int
    trials: int
    rate: float
    interval: Interval


@dataclass(frozen=True)
class Mean:
    """Over training seeds."""

    mean: float
    interval: Interval | None
    """95 % (Student); ``None`` with one seed."""


@dataclass(frozen=True)
class Comparison:
    """With the whole network: same training seeds, same scenes, pair by pair."""

    seeds: tuple[int, ...]
    difference: float
    """Of the rates; negative where the variant does worse."""
    over_scenes: Interval
    """95 %, if there were other scenes but the same trained networks."""
    over_seeds: Interval | None
    """95 %, if there were other training seeds; ``None`` with one."""
    only_reference: int
    """Attempts that the whole network alone did."""
    only_variant: int
    p: float
    """Exact, two-sided, scene by scene."""


@dataclass(frozen=True)
class TaskFigures:
    """One variant at one task, or at all."""

    task: str
    by_seed: dict[int, Rate]
    pooled: Rate
    over_seeds: Mean
    comparison: Comparison | None
    """``None`` for the whole network, and where it was not tried with one of these seeds."""


@dataclass(frozen=True)
class VariantFigures:
    """One row."""

    variant: Variant
    parameters: Parameters
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    """Of training, by seed."""
    held_out: dict[str, Mean]
    """Losses and errors of sampled chunks at the end of training."""
    tasks: tuple[TaskFigures, ...]


@dataclass(frozen=True)
class AblationFigures:
    """All that the table says."""

    variants: tuple[VariantFigures, ...]
    foresight: dict[str, dict[str, float]]
    """What each run of decouplers found on held-out clips at its end, by its targets."""
    recipe_differences: tuple[str, ...]
    """Between the two runs of decouplers, beside their targets."""


def ablation_figures(cells: Iterable[Cell], recipe: ActionRecipe) -> AblationFigures:
    """Read what the finished cells left behind.

    Raises:
        ValueError: a file cannot be read.
    """
    by_variant: dict[str, list[Cell]] = {}
    parents: dict[str, Path] = {}
    for cell in cells:
        by_variant.setdefault(cell.variant.name, []).append(cell)
        parents[cell.variant.targets] = Path(read_json(cell.run / PARENT_FILE)["parent"]["run"])
    reports = {
        name: {cell.seed: cell.results() for cell in finished} for name, finished in by_variant.items()
    }
    reference = reports.get(REFERENCE, {})
    variants = []
    for name, finished in by_variant.items():
        variant = finished[0].variant
        variants.append(
            VariantFigures(
                variant=variant,
                parameters=count_parameters(recipe.config, variant),
                seeds=tuple(cell.seed for cell in finished),
                steps=tuple(int(read_json(cell.run / FINISHED_FILE)["steps"]) for cell in finished),
                held_out=_means([last_held_out(cell.run) for cell in finished]),
                tasks=task_figures(reports[name], None if name == REFERENCE else reference),
            )
        )
    foresight = {targets: last_held_out(parent) for targets, parent in parents.items()}
    differing = recipe_differences(*parents.values()) if len(parents) == 2 else ()
    return AblationFigures(tuple(variants), foresight, differing)


def task_figures(
    reports: Mapping[int, Mapping[str, EvaluationReport]],
    reference: Mapping[int, Mapping[str, EvaluationReport]] | None,
) -> tuple[TaskFigures, ...]:
    """Every task that was tried, then all of them together.

    Args:
        reports: of the variant, by training seed and task.
        reference: of the whole network; ``None`` if this is it.
    """
    tried = {task for of_seed in reports.values() for task in of_seed}
    tasks = [task for task in get_args(TaskName) if task in tried]
    groups: list[tuple[str, list[str]]] = [(task, [task]) for task in tasks]
    if len(tasks) > 1:
        groups.append((ALL_TASKS, tasks))
    figures = []
    for name, group in groups:
        outcomes = _outcomes(reports, group)
        if outcomes:
            others = None if reference is None else _outcomes(reference, group)
            figures.append(_figures(name, outcomes, others))
    return tuple(figures)


def _figures(task: str, outcomes: Outcomes, reference: Outcomes | None) -> TaskFigures:
    by_seed = {seed: _rate(list(of_seed.values())) for seed, of_seed in outcomes.items()}
    everything = [done for of_seed in outcomes.values() for done in of_seed.values()]
    return TaskFigures(
        task=task,
        by_seed=by_seed,
        pooled=_rate(everything),
        over_seeds=_mean([rate.rate for rate in by_seed.values()]),
        comparison=None if reference is None else compare(outcomes, reference),
    )


def compare(outcomes: Outcomes, reference: Outcomes) -> Comparison | None:
    """Pairs of attempts with the same training seed on the same scene; ``None`` where there are none."""
    seeds = tuple(seed for seed in outcomes if seed in reference)
    if not seeds:
        return None
    tried = [set(of[seed]) for seed in seeds for of in (outcomes, reference)]
    scenes = sorted(set.intersection(*tried))
    if not scenes:
        return None

    def table(of: Outcomes) -> NDArray[np.int64]:
        return np.array([[of[seed][scene] for scene in scenes] for seed in seeds], np.int64)

    differences = table(outcomes) - table(reference)
    return Comparison(
        seeds=seeds,
        difference=float(differences.mean()),
        over_scenes=scene_interval(differences.astype(np.float64)),
        over_seeds=mean_interval(differences.mean(axis=1).tolist()),
        only_reference=int((differences < 0).sum()),
        only_variant=int((differences > 0).sum()),
        p=sign_flip_p(differences),
    )


def _outcomes(reports: Mapping[int, Mapping[str, EvaluationReport]], tasks: Sequence[str]) -> Outcomes:
    """Of the seeds with which all of the tasks were tried: others would count some tasks more."""
    return {
        seed: {
            (task, scene): done
            for task in tasks
            for scene, done in zip(of_seed[task].seeds, of_seed[task].successes, strict=True)
        }
        for seed, of_seed in reports.items()
        if all(task in of_seed for task in tasks)
    }


def _rate(done: Sequence[bool]) -> Rate:
    rate = SuccessRate(sum(done), len(done))
    return Rate(rate.successes, rate.trials, rate.rate, rate.wilson_interval())


def _mean(values: Sequence[float]) -> Mean:
    return Mean(float(np.mean(values)), mean_interval(values))


def _means(metrics: Sequence[Mapping[str, float]]) -> dict[str, Mean]:
    return {name: _mean([of_seed[name] for of_seed in metrics]) for name in metrics[0]}
