"""``svam-train stills``: pictures of thousands of scenes for the teachers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from svam_ros.parameters import TaskName
from svam_train.training.progress_bar import progress_bar


@dataclass(frozen=True)
class Stills:
    """Draw scenes that nobody moves in, each once; what is there already is kept.

    Teachers tell places the better the more scenes they have seen, and a still costs a fiftieth of a
    demonstration. Ctrl-C may end it at any time; the same command goes on where it ended.
    """

    folder: Path = Path("runs/stills")
    """Where they are and shall be."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)
    """Whose scenes; all by default."""
    count: int = 5000
    """Of each task."""
    workers: int = 2
    """Processes that draw at the same time."""


def run(options: Stills) -> None:
    """Draw.

    Raises:
        ValueError: the options cannot be, or the folder was recorded in another way.
    """
    from svam_train.demonstrations.recording_recipe import RECORDING
    from svam_train.demonstrations.stills import STILLS_A_FILE, make_stills, missing_files

    if options.count < 1 or options.workers < 1:
        raise ValueError(f"count {options.count} and workers {options.workers} must be at least 1")
    left = len(missing_files(options.folder, options.count, options.tasks))
    with progress_bar(left * STILLS_A_FILE) as bar:
        for task, count in make_stills(
            options.folder, options.count, options.tasks, RECORDING, options.workers
        ):
            bar.show(task, count)
