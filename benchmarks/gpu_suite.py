"""Everything that needs a GPU, one after the other, into one file.

    benchmarks/gpu_suite.sh --out reports/gpu

Each step is a command that can be run by itself, and has a limit; the whole has one too, and what it leaves
no room for is said. ``gpu_suite.json`` is written after every step and holds the figures of those that are
done, so that an end in the middle loses nothing. ``--rehearse`` runs the same steps on a CPU at the sizes of
``tiny``, where they can run at all: it shows that the commands are right, and measures nothing of interest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from svam_ros.parameters import Range
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

ROOT = Path(__file__).resolve().parents[1]
SHOWN_LINES = 12
"""Of what a step printed, its last ones in the file; all of it is in its log."""

Ending = Literal["done", "failed", "refused", "out of time", "not begun"]


@dataclass(frozen=True)
class Options:
    """Where, and how long."""

    out: Path = Path("reports/gpu")
    """Folder for gpu_suite.json, the steps' logs and figures; files of the same name are replaced."""
    seconds: Annotated[float, Range(10.0, 86_400.0)] = 480.0
    """For all steps together."""
    preset: Literal["calvin", "cobot"] = "cobot"
    """Sizes of the network that is timed."""
    rehearse: bool = False
    """On a CPU, at the sizes of tiny."""


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    command: tuple[str, ...]
    """After the interpreter."""
    limit_s: float
    figures: Path | None = None
    """What it writes, as JSON."""


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    ending: Ending
    command: str
    seconds: float
    last_lines: tuple[str, ...]
    figures: Any
    """None where there are none."""


def steps(options: Options) -> tuple[Step, ...]:
    """In the order of their weight: what comes last may find no time left."""
    out, rehearse = options.out.resolve(), options.rehearse
    device = "cpu" if rehearse else "cuda"
    fast = "eager" if rehearse else "compiled"
    built, target = ("openvino", "current") if rehearse else ("tensorrt", "current")
    preset = "tiny" if rehearse else options.preset
    passes = "10" if rehearse else "50"
    svam, copy = ("-m", "svam_ros.cli"), out / f"tiny_{built}"

    def profile(name: str, *words: str) -> Step:
        figures = out / f"{name}.json"
        command = (*svam, "profile", *words, "--device", device, "--json", str(figures))
        return Step(name, command, 240.0, figures)

    kernels, trace = out / "kernel_times.json", str(out / "passes.trace.json")
    return (
        Step("tests", ("-m", "pytest", "-q", "-m", "gpu", "tests"), 120.0),
        Step("kernel_times", ("-m", "benchmarks.kernel_times", "--json", str(kernels)), 300.0, kernels),
        profile(
            "profile",
            "--model",
            preset,
            "--random-weights",
            "--engine",
            fast,
            "--against",
            "eager",
            "--repeats",
            passes,
            "--trace",
            trace,
        ),
        Step(
            "build_engine",
            (
                *svam,
                "build-engine",
                "--model",
                "tiny",
                "--engine",
                built,
                "--target",
                target,
                "--out",
                str(copy),
            ),
            240.0,
        ),
        profile(
            f"profile_{built}",
            "--model",
            str(copy),
            "--engine",
            built,
            "--against",
            "eager",
            "--repeats",
            passes,
        ),
        Step(
            "soak",
            (
                "-m",
                "benchmarks.forward_soak",
                "--engine",
                fast,
                "--device",
                device,
                "--passes",
                "100" if rehearse else "2000",
            ),
            120.0,
        ),
    )


def main(options: Options) -> int:
    """Run all steps; 1 if one failed or found no time."""
    if not options.rehearse and not torch.cuda.is_available():
        print(
            "gpu_suite: needs an NVIDIA GPU, torch sees none here; --rehearse runs the steps on a CPU",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    deadline, outcomes = time.monotonic() + options.seconds, dict[str, Outcome]()
    for step in steps(options):
        left_s = deadline - time.monotonic()
        outcomes[step.name] = run_step(step, options.out, min(step.limit_s, left_s))
        ended = outcomes[step.name]
        print(f"{step.name:18} {ended.ending:12} {ended.seconds:6.1f} s", flush=True)
        _write(options, outcomes)
    print(f"written to {options.out / 'gpu_suite.json'}")
    return int(any(it.ending in ("failed", "out of time", "not begun") for it in outcomes.values()))


def run_step(step: Step, out: Path, limit_s: float) -> Outcome:
    """Run one command with its output in a log.

    Args:
        step: what to run.
        out: folder of the log.
        limit_s: after which it is ended; nothing is begun with less than a second.
    """
    command = (sys.executable, *step.command)
    said = " ".join(("python", *step.command))
    if limit_s < 1.0:
        return Outcome("not begun", said, 0.0, (), None)
    if step.figures is not None:
        step.figures.unlink(missing_ok=True)  # of an earlier run
    log, started = out / f"{step.name}.log", time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, timeout=limit_s, check=False
            ).returncode
            ending: Ending = "done" if code == 0 else "refused" if code == 2 else "failed"
        except subprocess.TimeoutExpired:
            ending = "out of time"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
    return Outcome(ending, said, round(time.monotonic() - started, 1), tuple(lines), _figures(step))


def _figures(step: Step) -> Any:
    if step.figures is None or not step.figures.is_file():
        return None
    return json.loads(step.figures.read_text(encoding="utf-8"))


def _write(options: Options, outcomes: dict[str, Outcome]) -> None:
    content = {
        "rehearsal": options.rehearse,
        "machine": asdict(read_machine()),
        "versions": read_versions(),
        "steps": {name: asdict(outcome) for name, outcome in outcomes.items()},
    }
    write_whole_text(options.out / "gpu_suite.json", json.dumps(content, indent=1) + "\n")


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Read the options and run; Ctrl-C ends the step, and what was done before is in the file."""
    options = tyro.cli(Options, args=arguments, description=__doc__)
    try:
        return main(options)
    except KeyboardInterrupt:
        print(f"gpu_suite: stopped; {options.out / 'gpu_suite.json'} has the steps before", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(command_line())
