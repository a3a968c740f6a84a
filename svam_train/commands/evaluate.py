"""``svam-train evaluate``: how often a model does its tasks, in closed loop, on scenes it never saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console

from svam_ros.parameters import EngineName, TaskName
from svam_ros.whole_files import write_whole_text
from svam_train.evaluation.loop_settings import WITH_NETWORK, LoopSettings, PolicyName
from svam_train.training.progress_bar import progress_bar

if TYPE_CHECKING:  # MuJoCo loads with it
    from svam_train.evaluation.attempts import AttemptPlan
    from svam_train.evaluation.closed_loop import Attempt
    from svam_train.evaluation.evaluation_report import EvaluationReport


@dataclass(frozen=True)
class Evaluate:
    """How often a model does its tasks in simulation, in closed loop, on scenes it never saw.

    Ctrl-C ends it; the table is then of the attempts that were finished.
    """

    model: str = "tiny"
    """A model directory, or the name of one that ships."""
    task: tuple[TaskName, ...] = get_args(TaskName)
    """One or several; all by default."""
    episodes: int = 40
    """Scenes of each task."""
    seed: int = 0
    """The first scene. Equal seeds are equal scenes, none of which demonstrations are made of."""
    engine: EngineName = "eager"
    """The way to run the network."""
    policy: PolicyName = "model"
    """A baseline: 'blind' shows the model a black image, 'wrong_instruction' tells it another task,
    'replay' plays a demonstration back, 'random' moves anywhere."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    ros: bool = False
    """Through the real nodes in real time, instead of the same loop on simulated time; of --loop only the
    time for an attempt and the profile count then."""
    workers: int = 1
    """Processes that try at the same time; the outcome does not depend on it."""
    json: bool = False
    """Print one JSON object a task, on a line of its own, instead of the table."""
    report: Path | None = None
    """Write the figures to this file as well, anew after every attempt: 'publish' reads it."""
    film: Path | None = None
    """Folder for films of the first failures."""
    film_failures: int = 3
    """Films of each task."""
    demonstrations: Path = Path("runs/demonstrations")
    """For 'replay'."""


def run(options: Evaluate) -> None:
    """Run the command.

    Raises:
        ValueError: something that was asked for cannot be; the text says what.
        KeyboardInterrupt: Ctrl-C, after the table of what was finished.
    """
    from svam_train.evaluation.attempts import AttemptPlan, Films
    from svam_train.evaluation.evaluation_report import Subject, reports_to_json, summarise

    if options.report is not None and not options.report.parent.is_dir():
        raise ValueError(
            f"--report {options.report}: there is no folder {options.report.parent}; make it first"
        )
    films = None if options.film is None else Films(options.film, options.film_failures)
    plan = AttemptPlan(options.task, options.episodes, options.seed, options.loop, films)
    loop = None if options.ros else options.loop
    subject = Subject(options.model, options.engine, options.policy, loop, _weights(options))
    attempts: list[Attempt] = []
    with ExitStack() as stack:
        stack.callback(lambda: _tell(options, summarise(attempts, subject)))
        bar = stack.enter_context(progress_bar(options.episodes * len(options.task)))
        for made in _attempts(options, plan):
            attempts.append(made)
            bar.show(f"{made.task} seed {made.seed}: {'done' if made.success else 'not done'}")
            if options.report is not None:
                write_whole_text(options.report, reports_to_json(summarise(attempts, subject)))


def _weights(options: Evaluate) -> str | None:
    """sha256 of what is evaluated, where it is a network."""
    from svam_ros.artifacts.model_directory import WEIGHTS_FILE, open_model

    if options.policy not in WITH_NETWORK or options.engine == "scripted":
        return None
    return open_model(options.model).manifest.files[WEIGHTS_FILE]


def _attempts(options: Evaluate, plan: AttemptPlan) -> Iterator[Attempt]:
    from svam_train.evaluation.attempts import run_attempts
    from svam_train.evaluation.policies import PolicyChoice

    if not options.ros:
        choice = PolicyChoice(
            options.policy, options.model, options.engine, options.demonstrations, get_args(TaskName)
        )
        return run_attempts(choice, plan, options.workers)
    from svam_train.evaluation.real_nodes import run_through_nodes

    if options.policy != "model" or options.workers != 1:
        raise ValueError("--ros runs the model itself, one scene after the other: no --policy, no --workers")
    return run_through_nodes(options.model, options.engine, plan)


def _tell(options: Evaluate, reports: list[EvaluationReport]) -> None:
    """What was found, on standard output."""
    from svam_train.evaluation.evaluation_report import result_table

    if options.json:
        for report in reports:
            print(json.dumps(report.summary()))
    elif reports:
        Console().print(result_table(reports))
