"""``svam-train relabel``: the scripted expert goes on from where a model has led the arms."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from svam_ros.parameters import EngineName, TaskName
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.training.progress_bar import progress_bar

if TYPE_CHECKING:  # MuJoCo loads with it
    from svam_train.demonstrations import RecordingRecipe


@dataclass(frozen=True)
class Relabel:
    """Let the expert take over from a model on training scenes, and record what it does (DAgger).

    Ctrl-C may end it at any time; the same command goes on where it ended.
    """

    model: str = "tiny"
    """A model directory, or the name of one that ships."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)
    episodes: int = 50
    """Scenes of each task to try; not every one gives an episode."""
    first_seed: int = 0
    """The first of them: give later rounds, and commands that run at the same time, scenes of their own."""
    folder: Path = Path("runs/demonstrations")
    """Folder with demonstrations: the episodes are recorded like these, and put beside them."""
    engine: EngineName = "eager"
    """The way to run the network."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """The loop in which the model drives."""


def run(options: Relabel) -> None:
    """Run the command.

    Raises:
        ValueError: model or folder cannot be used; the text says why.
    """
    from svam_train.evaluation.policies import PolicyChoice
    from svam_train.relabelling import relabel

    recipe = _recipe(options.folder)
    policy = PolicyChoice("model", options.model, options.engine, options.folder, options.tasks).make()
    outcomes: Counter[str] = Counter()
    attempts = relabel(
        policy, options.folder, options.tasks, options.episodes, recipe, options.loop, options.first_seed
    )
    try:
        with progress_bar(options.episodes * len(options.tasks)) as bar:
            for task, seed, outcome in attempts:
                outcomes[outcome] += 1
                bar.show(f"{task} seed {seed}: {outcome}")
    finally:
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        print(f"{options.folder}: {told or 'nothing to do'}")


def _recipe(folder: Path) -> RecordingRecipe:
    """How the folder's demonstrations were recorded."""
    import dacite

    from svam_train.demonstrations import RecordingRecipe

    path = folder / "recipe.json"
    try:
        config = dacite.Config(strict=True, cast=[tuple], type_hooks={float: float})
        return dacite.from_dict(RecordingRecipe, json.loads(path.read_text(encoding="utf-8")), config)
    except (OSError, ValueError, TypeError, dacite.DaciteError) as error:
        raise ValueError(
            f"{path}: does not say how the demonstrations beside it were recorded ({error}); record some "
            f"there with 'svam-train demonstrations' first"
        ) from error
