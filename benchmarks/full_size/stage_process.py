"""One stage, counted or stepped in a process of its own: nothing of another one is in its memory.

Both functions are for the parent; what they start is this file as a program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from dacite import Config, from_dict

from benchmarks.full_size.counted_step import CountedStep, count_step
from benchmarks.full_size.measured_steps import MeasuredSteps, measure_steps
from benchmarks.full_size.step_plan import StepPlan
from svam_ros.parameters import DeviceName
from svam_ros.profiling.memory import available_bytes

_PROGRAM = "benchmarks.full_size.stage_process"
_TUPLES = Config(cast=[tuple])


class StageFailed(RuntimeError):
    """The process ended without a result; what it had to say went to standard error."""


@dataclass(frozen=True)
class _Task:
    """What the process is asked for."""

    plan: dict[str, Any]
    steps: int
    """To train; 0: count one."""
    device: DeviceName
    threads: int
    """Of torch on a CPU; 0: as many as it likes."""
    result: str
    """The file to write."""


def count_in_process(plan: StepPlan, device: DeviceName) -> tuple[CountedStep, int]:
    """See :func:`benchmarks.full_size.counted_step.count_step`; and the bytes that are free on the device.

    Raises:
        StageFailed: it did not come to an end.
    """
    answer = _ask(plan, 0, device, 1)
    return from_dict(CountedStep, answer["step"], _TUPLES), int(answer["free_bytes"])


def measure_in_process(plan: StepPlan, steps: int, device: DeviceName, threads: int) -> MeasuredSteps:
    """See :func:`benchmarks.full_size.measured_steps.measure_steps`.

    Raises:
        StageFailed: it did not come to an end.
    """
    return from_dict(MeasuredSteps, _ask(plan, steps, device, threads)["step"], _TUPLES)


def _ask(plan: StepPlan, steps: int, device: DeviceName, threads: int) -> dict[str, Any]:
    hidden = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    with TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        task = _Task(asdict(plan), steps, device, threads, str(result))
        command = [sys.executable, "-m", _PROGRAM, json.dumps(asdict(task))]
        # In a session of its own: the loop answers Ctrl-C with a checkpoint, which nobody wants here.
        with subprocess.Popen(command, env={**os.environ, **hidden}, start_new_session=True) as child:
            try:
                code = child.wait()
            finally:
                child.kill()
        if code:
            killed = "; killed from outside: was there too little memory?" if code < 0 else ""
            raise StageFailed(f"{plan.stage}: its process ended with code {code}{killed}")
        answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return answer


def _main() -> None:
    task = _Task(**json.loads(sys.argv[1]))
    plan, device = StepPlan(**task.plan), torch.device(task.device)
    on_gpu = device.type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here; use --device cpu, or a build of torch for CUDA")
    if task.threads:
        torch.set_num_threads(task.threads)
    if task.steps:
        answer: dict[str, Any] = {"step": asdict(measure_steps(plan, task.steps, device))}
    else:
        free = torch.cuda.mem_get_info(device)[0] if on_gpu else available_bytes()
        answer = {"step": asdict(count_step(plan)), "free_bytes": free or 0}
    Path(task.result).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    _main()
