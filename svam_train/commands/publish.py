"""``svam-train publish``: a finished run as a model directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from svam_ros.artifacts.model_directory import ModelDirectory
    from svam_train.evaluation.evaluation_report import EvaluationReport


@dataclass(frozen=True)
class Publish:
    """Write what a finished run of 'svam-train actions' hands on as a model directory with a model card.

    A run of 'svam-train tiny' is told by what its folder holds, and published as it stands.
    """

    run: tyro.conf.Positional[Path]
    """The run's folder; the runs that it was built on have to be where they were."""
    out: Path
    """The model directory; a model that stands there is replaced."""
    reports: tuple[Path, ...] = ()
    """Files that 'svam-train evaluate --report' wrote for these weights."""
    hardware: str = ""
    """What it was trained on, in general terms; by default what the runs noted."""
    demonstrations: Path = Path("runs/demonstrations")
    """Only for a run of 'svam-train tiny': what it was trained on."""


def run(options: Publish) -> None:
    """Write the directory.

    Raises:
        ValueError: run, reports or the place cannot be used; the text says why.
    """
    from svam_train.evaluation.evaluation_report import load_reports
    from svam_train.publishing.run_model import publish_run
    from svam_train.training_checkpoint import FILE_NAME

    reports = tuple(report for path in options.reports for report in load_reports(path))
    if (options.run / FILE_NAME).is_file():
        model = _publish_joint_run(options, reports)
        what = "a run of 'svam-train tiny'"
    else:
        model = publish_run(options.run, options.out, reports, options.hardware)
        what = "a run of 'svam-train actions'"
    print(f"{model.path}: made of {what}; try it with 'svam-train evaluate --model {model.path}'")


def _publish_joint_run(options: Publish, reports: Sequence[EvaluationReport]) -> ModelDirectory:
    from svam_train.publishing.joint_model import Publication, publish
    from svam_train.tiny_recipe import RECORDING, open_run, recipe_of_run

    training = open_run(recipe_of_run(options.run), options.demonstrations, options.run)
    training.resume()
    publication = Publication(RECORDING.image, options.hardware or "CPU", tuple(reports))
    return publish(training, options.out, publication)
