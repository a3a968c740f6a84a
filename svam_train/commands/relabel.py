"""``svam-train relabel``: the scripted expert goes on from where a model or a clumsy expert led the arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from svam_ros.parameters import EngineName, TaskName
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.training.progress_bar import progress_bar


@dataclass(frozen=True)
class Relabel:
    """Let the expert take over from a model on training scenes, and record what it does (DAgger).

    Before there is a model, '--led-by clumsy_expert' leads the arms astray: an expert that is some
    centimetres wrong about where the objects are.

    Ctrl-C may end it at any time; the same command goes on where it ended.
    """

    led_by: Literal["model", "clumsy_expert"] = "model"
    """Who drives until the expert takes over."""
    model: str = "tiny"
    """A model directory, or the name of one that ships; not used with '--led-by clumsy_expert'."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)
    """One or several; all by default."""
    episodes: int = 50
    """Scenes of each task to try; not every one gives an episode."""
    first_seed: int = 0
    """The first of them: give later rounds, and commands that run at the same time, scenes of their own."""
    folder: Path = Path("runs/demonstrations")
    """Folder with demonstrations: the episodes are recorded like these, and put beside them."""
    engine: EngineName = "eager"
    """The way to run the network; not used with '--led-by clumsy_expert'."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """The loop in which the model drives; which scenes are shared and vary is as for the demonstrations."""
    workers: int = 1
    """Processes that relabel at the same time; the outcomes do not depend on it."""


def run(options: Relabel) -> None:
    """Run the command.

    Raises:
        ValueError: model or folder cannot be used; the text says why.
    """
    from svam_train.demonstrations.clumsy_expert import ClumsyExpert
    from svam_train.demonstrations.recording_recipe import recipe_of
    from svam_train.demonstrations.relabelling import RelabellingPlan, relabel
    from svam_train.evaluation.policies import Policy, PolicyChoice

    recipe = recipe_of(options.folder)
    plan = RelabellingPlan(
        options.folder, options.tasks, options.episodes, recipe, options.loop, options.first_seed
    )
    make_policy: Callable[[], Policy] = partial(ClumsyExpert, recipe)
    if options.led_by == "model":
        make_policy = PolicyChoice("model", options.model, options.engine, options.folder, options.tasks).make
    outcomes: Counter[str] = Counter()
    try:
        with progress_bar(len(plan.scenes())) as bar:
            for task, seed, outcome in relabel(make_policy, plan, options.workers):
                outcomes[outcome] += 1
                bar.show(f"{task} seed {seed}: {outcome}")
    finally:
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        print(f"{options.folder}: {told or 'nothing to do'}")
