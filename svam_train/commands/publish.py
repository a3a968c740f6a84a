"""``svam-train publish``: a finished run as a model directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Publish:
    """Write what a finished run of 'svam-train actions' hands on as a model directory with a model card."""

    run: tyro.conf.Positional[Path]
    """The run's folder; the runs that it was built on have to be where they were."""
    out: Path
    """The model directory; a model that stands there is replaced."""
    reports: tuple[Path, ...] = ()
    """Files that 'svam-train evaluate --report' wrote for these weights."""
    hardware: str = ""
    """What it was trained on, in general terms; by default what the runs noted."""


def run(options: Publish) -> None:
    """Write the directory.

    Raises:
        ValueError: run, reports or the place cannot be used; the text says why.
    """
    from svam_train.evaluation.evaluation_report import load_reports
    from svam_train.publishing.run_model import publish_run

    reports = tuple(report for path in options.reports for report in load_reports(path))
    model = publish_run(options.run, options.out, reports, options.hardware)
    print(f"{model.path}: made of {options.run}; try it with 'svam-train evaluate --model {model.path}'")
