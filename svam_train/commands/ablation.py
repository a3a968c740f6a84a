"""``svam-train ablation``: what each part of the network is good for."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from svam_train.commands.actions import open_action_data
from svam_train.commands.stage_data import DataOptions, EpisodeProgress, process_device
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.recipes.ablation import PRESETS, VARIANTS, AblationPlan
from svam_train.recipes.actions import ActionRecipe
from svam_train.training.interruption import Interrupted


@dataclass(frozen=True)
class Ablation:
    """Train the network without one of its parts after the other, and try each in closed loop.

    Every variant has a run of its own for every seed, and results beside it; the table is written anew after
    each. Two processes may share the work in one folder if each has --seeds or --variants of its own.
    """

    parent: Path = Path("runs/decouplers")
    """Finished run of the decouplers, trained on the video model's own videos."""
    true_future: Path = Path("runs/decouplers_true")
    """The same, trained with --recipe.targets true_future; for the variant of that name."""
    run: Path = Path("runs/ablation")
    """Gets VARIANT/seed_K/ for every run, table.md and table.json."""
    plan: tyro.conf.OmitArgPrefixes[AblationPlan] = field(default_factory=AblationPlan)
    loop: LoopSettings = field(default_factory=LoopSettings)
    """In which all are tried."""
    data: DataOptions = field(default_factory=DataOptions)
    features: Path | None = None
    """Where features are kept, which all variants share; by default in the run's folder."""
    workers: int = 2
    """Processes that try at the same time; the outcome does not depend on it."""
    resume: bool = False
    """Go on where the folder stands; what is finished is skipped."""
    recipe: ActionRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Ablation) -> None:
    """Train and try.

    Raises:
        ValueError: options, parents, data or the run's folder do not do; the text says why.
        Interrupted: Ctrl-C; what was done is saved.
    """
    from svam_train.ablation.ablation_run import AblationRun, run_ablation
    from svam_train.ablation.parents import Parents
    from svam_train.ablation.table import TABLE_FILE
    from svam_train.evaluation.attempts import AttemptPlan

    _refuse(options)
    plan = options.plan
    wants_true_future = any(VARIANTS[name].targets == "true_future" for name in plan.variants)
    parents = Parents(options.parent, options.true_future if wants_true_future else None)
    training, held_out, facts = open_action_data(options.data, options.recipe)
    where = AblationRun(
        folder=options.run,
        parents=parents,
        training=training,
        held_out=held_out,
        facts=facts,
        features=options.features or options.run / "features",
        plan=plan,
        attempts=AttemptPlan(plan.tasks, plan.episodes, plan.first_scene, options.loop),
        workers=options.workers,
        device=str(process_device()),
    )
    try:
        with EpisodeProgress("features of ") as progress:
            run_ablation(options.recipe, where, resume=options.resume, say=print, told=progress.told)
    except KeyboardInterrupt:
        raise Interrupted(signal.SIGINT) from None
    print(f"{options.run / TABLE_FILE}: what was found")


def _refuse(options: Ablation) -> None:
    """What cannot be, before anything is opened."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            "ablation runs in one process, not under a launcher; start it twice with other --seeds instead"
        )
    if options.workers < 1:
        raise ValueError(f"--workers is {options.workers}, but must be at least 1")
    if options.recipe.training.seed != PRESETS["tiny"].training.seed:
        raise ValueError("the seeds of training are named with --seeds, not in the recipe")
