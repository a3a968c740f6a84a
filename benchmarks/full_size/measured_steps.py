"""Training steps for real: a stage's objective in the training loop itself, stopped after a few steps."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch
from torch import Tensor, nn

from benchmarks.full_size.counted_step import count_weights
from benchmarks.full_size.random_stages import random_objective
from benchmarks.full_size.seen_shapes import Shapes, seen_shapes, shapes_of
from benchmarks.full_size.step_plan import StepPlan
from svam_ros.profiling.memory import resident_peak_bytes
from svam_train.training.loop import train
from svam_train.training.objective import TOTAL, ImageArray, Objective
from svam_train.training.run_folder import RunFolder


@dataclass(frozen=True)
class MeasuredSteps:
    """A few steps of one stage, in a process of its own."""

    steps_s: list[float]
    """Of every step, as the loop counts them: batch, forward, backward, optimizer, average. The first one
    makes the optimizer's moments and warms everything up."""
    losses: list[float]
    trained: int
    weights: int
    """All that are held, frozen ones with them."""
    before_bytes: int
    """Resident before the stage was built: interpreter and libraries."""
    built_bytes: int
    """Resident when it was built, before the optimizer was."""
    peak_bytes: int
    """Most that was resident, the two above with it. On a GPU: of the process on the host."""
    gpu_peak_bytes: int | None
    """Most that tensors took on the GPU."""
    gpu_reserved_bytes: int | None
    """Most that torch took of the GPU's memory for them."""
    build_s: float
    batch: Shapes
    inside: Shapes
    teachers: list[str]

    @property
    def own_peak_bytes(self) -> int:
        """What the stage took where it was computed, to compare with a count."""
        if self.gpu_peak_bytes is not None:
            return self.gpu_peak_bytes
        return self.peak_bytes - self.before_bytes

    @property
    def step_s(self) -> float:
        """A step's time: the quickest but the first, where there are several."""
        return min(self.steps_s[1:] or self.steps_s)


def measure_steps(plan: StepPlan, steps: int, device: torch.device) -> MeasuredSteps:
    """Train ``steps`` steps. Nothing is evaluated, saved or handed on.

    Args:
        plan: what is trained.
        steps: fewer than the recipe has, which keep their learning rates.
        device: that the loop will take too.

    Raises:
        RunError: the loop refuses, because a checkpoint would not fit on the disk for temporary files for
            example.
    """
    cuda = device.type == "cuda"
    before = psutil.Process().memory_info().rss
    started = time.monotonic()
    objective, stage = random_objective(plan, device)
    build_s, built = time.monotonic() - started, psutil.Process().memory_info().rss
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    few = _FewSteps(objective, steps)
    with TemporaryDirectory() as folder, seen_shapes((stage.module, *stage.frozen)) as inside:
        run = RunFolder(Path(folder), plan.recipe)
        try:
            train(few, plan.recipe.training, run, resume=False)
        except _EnoughSteps:
            lines = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    moments = [0.0, *(line["trained_s"] for line in lines)]
    return MeasuredSteps(
        steps_s=[round(after - earlier, 3) for earlier, after in pairwise(moments)],
        losses=[line["training"][TOTAL] for line in lines],
        trained=count_weights([stage.module], trained=True),
        weights=count_weights((stage.module, *stage.frozen)),
        before_bytes=before,
        built_bytes=built,
        peak_bytes=resident_peak_bytes() or psutil.Process().memory_info().rss,
        gpu_peak_bytes=torch.cuda.max_memory_allocated() if cuda else None,
        gpu_reserved_bytes=torch.cuda.max_memory_reserved() if cuda else None,
        build_s=round(build_s, 1),
        batch=few.shapes,
        inside=dict(inside),
        teachers=[teacher.name for teacher in stage.teachers.values()],
    )


class _EnoughSteps(Exception):
    """The loop asked for the batch behind the last one."""


class _FewSteps:
    """An objective whose data ends after some steps: before anything is evaluated or saved."""

    def __init__(self, objective: Objective, steps: int) -> None:
        self._objective, self._steps = objective, steps
        self.shapes: Shapes = {}

    @property
    def module(self) -> nn.Module:
        return self._objective.module

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        if step >= self._steps:
            raise _EnoughSteps
        batch = self._objective.batch(step, size)
        self.shapes = shapes_of(batch)
        return batch

    def held_out(self, module: nn.Module) -> dict[str, float]:
        return self._objective.held_out(module)

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        return self._objective.pictures(module)

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        return self._objective.network_tensors(module)
