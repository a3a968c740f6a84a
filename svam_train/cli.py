"""The command ``svam-train``: demonstrations, training, evaluation, publishing.

Exit codes: 0 done; 2 it was asked for something that cannot be; 130 ended with Ctrl-C (training and
recording go on where they stopped).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Union

import tyro

from svam_ros.parameters import PolicyParameters, TaskName
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.commands import evaluate
from svam_train.commands.evaluate import Evaluate
from svam_train.episodes.open_settings import OpenSettings
from svam_train.recipe import TrainingRecipe
from svam_train.training.progress_bar import ProgressBar, progress_bar

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130

Tasks = tuple[TaskName, ...]

TINY_IMAGE = ImagePreparation("centre_square", 128, "area")

EXAMPLES = """examples:
  svam-train demonstrations --lift-pot 60 --place-to-pot 150
  svam-train check-data runs/demonstrations
  svam-train tiny --run runs/tiny
  svam-train publish --output models/tiny
  svam-train evaluate --model models/tiny --episodes 40 --loop.latency-ms 120 --report evaluation.json
"""


@dataclass(frozen=True)
class Demonstrations:
    """Record demonstrations of the scripted experts; what the folder holds already is kept."""

    folder: Path = Path("runs/demonstrations")
    lift_pot: int = 60
    """Demonstrations of this task that the folder shall hold."""
    place_to_pot: int = 150
    """Demonstrations of this task that the folder shall hold."""
    workers: int = 2
    """Processes that record at the same time."""


@dataclass(frozen=True)
class Tiny:
    """Train the tiny preset in one joint stage; goes on by itself where the run folder stands."""

    demonstrations: Path = Path("runs/demonstrations")
    run: Path = Path("runs/tiny")
    """Gets the checkpoint and metrics.jsonl."""
    threads: int = 2
    """CPU threads."""
    checkpoint_every_s: float = 120.0
    evaluate_every: int = 200
    """Steps between two looks at the held-out demonstrations."""
    recipe: TrainingRecipe = field(default_factory=TrainingRecipe)


@dataclass(frozen=True)
class Publish:
    """Write the averaged weights of a run as a model directory with a model card."""

    output: Path
    demonstrations: Path = Path("runs/demonstrations")
    run: Path = Path("runs/tiny")
    reports: tuple[Path, ...] = ()
    """Files that 'svam-train evaluate --report' wrote for these weights."""
    hardware: str = "CPU"
    """What it was trained on, in general terms, for the model card."""


@dataclass(frozen=True)
class CheckData:
    """Look at a folder of demonstrations, MCAP episodes or a LeRobot v3.0 data set, episode by episode."""

    path: tyro.conf.Positional[Path]
    profile: str = PolicyParameters.profile
    """Robot profile that the episodes have to be of: a name, or a path to a file of your own."""
    image: ImagePreparation = TINY_IMAGE
    """How the network that is to be trained wants its pictures."""
    source: tyro.conf.OmitArgPrefixes[OpenSettings] = field(default_factory=OpenSettings)


Command = Union[
    Annotated[Demonstrations, tyro.conf.subcommand("demonstrations")],
    Annotated[CheckData, tyro.conf.subcommand("check-data")],
    Annotated[Tiny, tyro.conf.subcommand("tiny")],
    Annotated[Publish, tyro.conf.subcommand("publish")],
    Annotated[Evaluate, tyro.conf.subcommand("evaluate")],
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``svam-train``; returns the exit code."""
    command = tyro.cli(
        Command,
        args=arguments,
        prog="svam-train",
        description="Makes the model directories that svam_ros runs.\n\n" + EXAMPLES,
    )
    handlers: dict[type, Callable[..., None]] = {
        Demonstrations: record,
        CheckData: check_data,
        Tiny: train,
        Publish: publish_run,
        Evaluate: evaluate.run,
    }
    try:
        handlers[type(command)](command)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"svam-train: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        print("svam-train: stopped; the same command goes on where this one ended", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def record(options: Demonstrations) -> None:
    """Run ``svam-train demonstrations``."""
    from svam_train.demonstrations import generate_demonstrations
    from svam_train.tiny_recipe import RECORDING

    counts = {"lift_pot": options.lift_pot, "place_to_pot": options.place_to_pot}
    missing = sum(
        max(0, count - len(list(options.folder.glob(f"{task}_*.npz")))) for task, count in counts.items()
    )
    with progress_bar(missing) as bar:
        for task, seed, success in generate_demonstrations(
            options.folder, counts, RECORDING, options.workers
        ):
            bar.show(f"{task} seed {seed}{'' if success else ' failed'}", int(success))


def check_data(options: CheckData) -> None:
    """Run ``svam-train check-data``."""
    from svam_ros.cobot import load_cobot, load_robot_profile
    from svam_train.episodes.checks import check_episodes
    from svam_train.episodes.data_table import data_table
    from svam_train.episodes.episodes import RobotFacts
    from svam_train.episodes.sources import survey_episodes

    robot = RobotFacts.of(load_cobot(), load_robot_profile(options.profile))
    with ExitStack() as stack:
        bars: list[ProgressBar] = []

        def told(done: int, total: int, name: str) -> None:
            if not bars:  # how many there are is known from here on
                bars.append(stack.enter_context(progress_bar(total)))
            bars[0].show(name, min(done, 1))

        episodes, refused = survey_episodes(options.path, options.image, robot, options.source, told)
    for line in data_table(episodes, robot, options.image):
        print(line)
    if refused:
        raise refused[0]
    check_episodes(episodes, robot, options.image)


def train(options: Tiny) -> None:
    """Run ``svam-train tiny``."""
    import torch

    from svam_train.tiny_recipe import open_run
    from svam_train.training_checkpoint import FILE_NAME

    torch.set_num_threads(options.threads)
    training = open_run(options.recipe, options.demonstrations, options.run)
    if (options.run / FILE_NAME).exists():
        training.resume()
    with progress_bar(options.recipe.steps - training.step) as bar:
        for progress in training.run(
            checkpoint_every_s=options.checkpoint_every_s, evaluate_every=options.evaluate_every
        ):
            losses = progress.losses
            bar.show(f"step {progress.step}  action {losses['action']:.4f}  classes {losses['semantic']:.4f}")


def publish_run(options: Publish) -> None:
    """Run ``svam-train publish``."""
    from svam_train.evaluation.evaluation_report import load_reports
    from svam_train.publishing.joint_model import Publication, publish
    from svam_train.tiny_recipe import RECORDING, open_run, recipe_of_run

    training = open_run(recipe_of_run(options.run), options.demonstrations, options.run)
    training.resume()
    reports = tuple(report for path in options.reports for report in load_reports(path))
    model = publish(training, options.output, Publication(RECORDING.image, options.hardware, reports))
    print(f"{model.path}: weights after step {training.step}")


if __name__ == "__main__":
    raise SystemExit(main())
