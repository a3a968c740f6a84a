"""``svam-train demonstrations``: scripted experts do the tasks in simulation, and are recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from svam_ros.parameters import TaskName
from svam_train.training.progress_bar import progress_bar


@dataclass(frozen=True)
class Demonstrations:
    """How many demonstrations of each task the folder shall hold; what is there already is kept.

    The seed of a scene decides, for all tasks alike, whether it is shared and how it looks.
    """

    folder: Path = Path("runs/demonstrations")
    """Where they are and shall be."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)
    """Those that --count is about."""
    count: int = 0
    """Of each of the tasks that has no number of its own below."""
    lift_pot: int | None = None
    """Of this task, instead of --count."""
    place_to_pot: int | None = None
    """Of this task, instead of --count."""
    place_to_pot_hard: int | None = None
    """Of this task, instead of --count."""
    pour: int | None = None
    """Of this task, instead of --count."""
    shared_scenes: float | None = None
    """Share of scenes in which other tasks are possible too, so that the instruction matters; default is
    that of the recipe."""
    varied_looks: float | None = None
    """Share of scenes with light, colours and camera mount of their own; default is that of the recipe."""
    config: Literal["tiny", "cobot"] = "tiny"
    """The recipe that shall learn from them: it says how large pictures are and how far apart."""
    first_seed: int = 0
    """Of the first scene. Equal seeds are equal scenes, but for their looks: give folders that shall be
    trained on together scenes of their own."""
    workers: int = 2
    """Processes that record at the same time."""

    def wanted(self) -> dict[str, int]:
        """How many of each task.

        Raises:
            ValueError: none at all, or fewer than none.
        """
        counts = dict.fromkeys(self.tasks, self.count)
        numbers = {task: getattr(self, task) for task in get_args(TaskName)}
        counts |= {task: number for task, number in numbers.items() if number is not None}
        if self.workers < 1 or min(counts.values(), default=0) < 0:
            raise ValueError(f"counts {counts} must not be negative, and workers {self.workers} at least 1")
        if not any(counts.values()):
            raise ValueError("say how many: for instance --count 300, or --lift-pot 60 --pour 150")
        return {task: count for task, count in counts.items() if count}


def run(options: Demonstrations) -> None:
    """Record.

    Raises:
        ValueError: the options cannot be, or the folder was recorded in another way.
    """
    from svam_train.demonstrations.generation import generate_demonstrations, missing_demonstrations
    from svam_train.demonstrations.recording_recipe import recording_for

    wanted, recipe = options.wanted(), recording_for(options.config)
    if options.shared_scenes is not None:
        recipe = replace(recipe, shared_scenes=options.shared_scenes)
    if options.varied_looks is not None:
        recipe = replace(recipe, varied_looks=options.varied_looks)
    attempts = generate_demonstrations(
        options.folder, wanted, recipe, options.workers, first_seed=options.first_seed
    )
    with progress_bar(missing_demonstrations(options.folder, wanted)) as bar:
        for task, seed, success in attempts:
            bar.show(f"{task} seed {seed}{'' if success else ' failed'}", int(success))
