"""What a training step of each stage takes at full size: weights, shapes, arithmetic, memory, seconds.

    python -m benchmarks.full_size_steps --config cobot --steps 2 --json full_size.json

Every stage is counted first, on tensors without memory. Where that says that it fits, its objective is then
trained by the training loop itself for a few steps, with random weights on a made-up episode, in a process
of its own. Stage 1 is trained by updates of low rank (LoRA) where all of it does not fit.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.full_size.counted_step import CountedStep
from benchmarks.full_size.measured_steps import MeasuredSteps
from benchmarks.full_size.stage_process import count_in_process, measure_in_process
from benchmarks.full_size.step_plan import RecipeName, StageName, StepPlan
from svam_ros.parameters import DeviceName
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

FALLBACK_RANK = 16
"""Of stage 1 where all of its weights do not fit."""
PROCESS_BYTES = 1_500_000_000
"""Interpreter, libraries, and what allocators keep: room that is left beside the count."""
_COLUMNS = (
    "stage",
    "trained, M",
    "all, M",
    "TFLOP a step",
    "loop's estimate, GB",
    "counted peak, GB",
    "measured peak, GB",
    "s a step",
)


@dataclass(frozen=True)
class Options:
    """What is stepped, and where."""

    stages: tuple[StageName, ...] = ("video", "decouplers", "actions")
    config: RecipeName = "cobot"
    """The recipe; calvin's has the same widths."""
    steps: int = 2
    """To train, at least 1; with more than one the first does not count."""
    rows: int = 1
    """Clips or pictures of a step. The published batches are 24, 2 and 192, over all GPUs."""
    low_rank: int | None = None
    """Rank of stage 1's updates; 0 trains all its weights. By default 0 where that fits, else 16."""
    device: DeviceName = "cpu"
    threads: int = 0
    """CPU threads; 0: as many as torch likes."""
    only_count: bool = False
    """Train nothing."""
    json: Path | None = None
    """Write all figures, the machine and the versions to this file."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("rows", 1), ("low_rank", 0), ("threads", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}, but must be at least {least}")


@dataclass(frozen=True)
class StageReport:
    """One stage in one form."""

    plan: StepPlan
    counted: CountedStep
    measured: MeasuredSteps | None
    remarks: list[str]
    """How it differs from the recipe, and why it was not trained."""


def main(options: Options) -> list[StageReport]:
    """Count, train, print, write; the file is there after the first stage.

    Raises:
        StageFailed: a process did not come to an end.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the child ends with this process
    reports: list[StageReport] = []
    for stage in options.stages:
        for report in stage_reports(stage, options):
            reports.append(report)
            if options.json is not None:
                write_json(options.json, options, reports)
    print(markdown(reports))
    return reports


def stage_reports(stage: StageName, options: Options) -> Iterator[StageReport]:
    """The stage as it was asked for; and stage 1 in low rank where all of it does not fit."""
    low_rank = (options.low_rank or 0) if stage == "video" else 0
    plan = StepPlan(stage, options.config, options.rows, low_rank)
    report = report_on(plan, options)
    yield report
    left_open = stage == "video" and options.low_rank is None
    if left_open and report.measured is None and not options.only_count:
        yield report_on(dataclasses.replace(plan, low_rank=FALLBACK_RANK), options)


def report_on(plan: StepPlan, options: Options) -> StageReport:
    """Count a step, and train a few where they fit."""
    _tell(f"{plan.stage}{_form(plan)}: counting")
    counted, free = count_in_process(plan, options.device)
    remarks = list(plan.differences())
    needed = counted.peak_bytes + (PROCESS_BYTES if options.device == "cpu" else 0)
    if options.only_count:
        return StageReport(plan, counted, None, [*remarks, "counted only"])
    if needed > free:
        remarks.append(f"not trained: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
        return StageReport(plan, counted, None, remarks)
    _tell(
        f"{plan.stage}{_form(plan)}: {options.steps} steps of {counted.tflop:.1f} TFLOP, about "
        f"{needed / 1e9:.1f} GB"
    )
    measured = measure_in_process(plan, options.steps, options.device, options.threads)
    _tell(f"{plan.stage}{_form(plan)}: {_run(measured, counted)}")
    if measured.teachers:
        remarks.append(f"teachers with random weights: {', '.join(measured.teachers)}")
    return StageReport(plan, counted, measured, remarks)


def markdown(reports: list[StageReport]) -> str:
    """The table, then shapes and remarks stage by stage."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + " --- |" * len(_COLUMNS)]
    for report in reports:
        counted, measured = report.counted, report.measured
        peak = "-" if measured is None else f"{measured.own_peak_bytes / 1e9:.2f}"
        seconds = "-" if measured is None else f"{measured.step_s:.3g}"
        lines.append(
            f"| {report.plan.stage}{_form(report.plan)} | {counted.trained / 1e6:,.2f} "
            f"| {counted.weights / 1e6:,.1f} | {counted.tflop:.3g} | {counted.loop_estimate_bytes / 1e9:.2f} "
            f"| {counted.peak_bytes / 1e9:.2f} | {peak} | {seconds} |"
        )
    for report in reports:
        lines += ["", f"{report.plan.stage}{_form(report.plan)}: {'; '.join(report.remarks) or 'as it is'}"]
        measured = report.measured
        seen = report.counted if measured is None else measured
        lines += [f"- batch: {_shapes(seen.batch)}", f"- inside: {_shapes(seen.inside)}"]
        if measured is not None:
            lines.append(f"- {_run(measured, report.counted)}")
    return "\n".join(lines) + "\n"


def write_json(path: Path, options: Options, reports: list[StageReport]) -> None:
    """All figures, with what they were measured on."""
    figures = {
        "options": {**dataclasses.asdict(options), "json": str(path)},
        "stages": [_figures(report) for report in reports],
        "machine": dataclasses.asdict(read_machine()),
        "versions": read_versions(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole_text(path, json.dumps(figures, indent=2) + "\n")


def _figures(report: StageReport) -> dict[str, Any]:
    measured = report.measured
    return {
        **dataclasses.asdict(report),
        "counted_peak_bytes": report.counted.peak_bytes,
        "measured_peak_bytes": None if measured is None else measured.own_peak_bytes,
        "step_s": None if measured is None else measured.step_s,
    }


def _form(plan: StepPlan) -> str:
    return f", rank {plan.low_rank}" if plan.low_rank else ""


def _shapes(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _run(measured: MeasuredSteps, counted: CountedStep) -> str:
    host = (
        f"resident {measured.before_bytes / 1e9:.2f} GB before, {measured.built_bytes / 1e9:.2f} GB built, "
    )
    host += f"{measured.peak_bytes / 1e9:.2f} GB at most"
    if measured.gpu_reserved_bytes is not None:
        host += f"; reserved on the GPU {measured.gpu_reserved_bytes / 1e9:.2f} GB"
    pace = counted.tflop * 1e3 / measured.step_s
    steps = ", ".join(f"{seconds:.3g}" for seconds in measured.steps_s)
    losses = ", ".join(f"{loss:.4g}" for loss in measured.losses)
    return f"{host}; built in {measured.build_s} s; steps {steps} s, {pace:,.0f} GFLOP/s; losses {losses}"


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
