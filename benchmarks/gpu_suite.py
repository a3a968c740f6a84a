"""Everything that needs a GPU, one after the other, into one file.

    benchmarks/gpu_suite.sh --out reports/gpu

Each step is a command that can be run by itself, and has a limit; the whole has one too, and what it leaves
no room for is said. ``gpu_suite.json`` is written after every step and holds the figures of those that are
done, so that an end in the middle loses nothing. ``--rehearse`` runs the same steps on a CPU at the sizes of
``tiny``, where they can run at all: it shows that the commands are right, and measures nothing of interest.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from svam_ros.parameters import Range, check_options
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

ROOT = Path(__file__).resolve().parents[1]
SHOWN_LINES = 12
"""Of what a step printed, its last ones in the file; all of it is in its log."""

Ending = Literal["done", "failed", "refused", "out of time", "interrupted", "not begun"]


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
    may_be_refused: bool = False
    """It needs a library that need not be installed: exit code 2 is no failure."""


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
    rehearse, out = options.rehearse, options.out.resolve()
    device, fast, built = ("cpu", "eager", "openvino") if rehearse else ("cuda", "compiled", "tensorrt")
    preset = "tiny" if rehearse else options.preset
    repeats, passes = (10, 100) if rehearse else (50, 2000)
    copy, trace = shlex.quote(str(out / f"tiny_{built}")), shlex.quote(str(out / "passes.trace.json"))

    step = partial(_step, out)
    svam = "-m svam_ros.cli"
    return (
        step("tests", "-m pytest -q -m gpu tests", 120.0),
        step(
            "kernel_times",
            f"-m benchmarks.kernel_times --preset {options.preset}",
            300.0,
            figures=True,
            optional=rehearse,  # there are no kernels on a CPU
        ),
        step(
            "profile",
            f"{svam} profile --model {preset} --random-weights --device {device} --engine {fast} "
            f"--against plain --repeats {repeats} --trace {trace}",
            240.0,
            figures=True,
        ),
        step(
            "build_engine",
            f"{svam} build-engine --model tiny --engine {built} --target current --out {copy}",
            240.0,
            optional=True,
        ),
        step(
            f"profile_{built}",
            f"{svam} profile --model {copy} --device {device} --engine {built} --against eager "
            f"--repeats {repeats}",
            240.0,
            figures=True,
            optional=True,
        ),
        step(
            "soak", f"-m benchmarks.forward_soak --engine {fast} --device {device} --passes {passes}", 120.0
        ),
        step(
            "training_steps",
            f"-m benchmarks.full_size_steps --config {'tiny' if rehearse else 'cobot'} --device {device}",
            180.0,
            figures=True,
        ),
    )


def _step(
    out: Path, name: str, line: str, limit_s: float, *, figures: bool = False, optional: bool = False
) -> Step:
    words = shlex.split(line)
    if not figures:
        return Step(name, tuple(words), limit_s, may_be_refused=optional)
    file = out / f"{name}.json"
    return Step(name, (*words, "--json", str(file)), limit_s, file, optional)


def main(options: Options) -> int:
    """Run all steps; 1 if one failed or found no time, 130 after Ctrl-C."""
    check_options(options)
    if not options.rehearse and not torch.cuda.is_available():
        print(
            "gpu_suite: needs an NVIDIA GPU, torch sees none here; --rehearse runs the steps on a CPU",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    deadline, outcomes = time.monotonic() + options.seconds, dict[str, Outcome]()
    _write(options, outcomes)  # that of an earlier run says nothing of this one
    for step in steps(options):
        left_s = deadline - time.monotonic()
        outcomes[step.name] = run_step(step, options.out, min(step.limit_s, left_s))
        ended = outcomes[step.name]
        print(f"{step.name:18} {ended.ending:12} {ended.seconds:6.1f} s", flush=True)
        _write(options, outcomes)
        if ended.ending == "interrupted":
            break
    print(f"written to {options.out / 'gpu_suite.json'}")
    return _exit_code(outcomes.values())


def _exit_code(outcomes: Iterable[Outcome]) -> int:
    endings = {outcome.ending for outcome in outcomes}
    if "interrupted" in endings:
        return 130
    return int(bool(endings & {"failed", "out of time", "not begun"}))


def run_step(step: Step, out: Path, limit_s: float) -> Outcome:
    """Run one command with its output in a log.

    Args:
        step: what to run.
        out: folder of the log.
        limit_s: after which it is ended; nothing is begun with less than a second.
    """
    command = (sys.executable, *step.command)
    said = shlex.join(("python", *step.command))
    if limit_s < 1.0:
        return Outcome("not begun", said, 0.0, (), None)
    if step.figures is not None:
        step.figures.unlink(missing_ok=True)  # of an earlier run
    log, started = out / f"{step.name}.log", time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            ending = _ending(step, process.wait(limit_s))
        except subprocess.TimeoutExpired:
            ending = "out of time"
        except KeyboardInterrupt:
            ending = "interrupted"
        finally:
            with suppress(ProcessLookupError):  # what it has started holds the GPU too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
    return Outcome(ending, said, round(time.monotonic() - started, 1), tuple(lines), _figures(step))


def _ending(step: Step, code: int) -> Ending:
    if code == 0:
        return "done"
    return "refused" if code == 2 and step.may_be_refused else "failed"


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


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
