"""What a run says about itself: lines of JSON, and the same for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from svam_ros.whole_files import write_whole_text
from svam_train.training.objective import ImageArray
from svam_train.training.run_folder import RunFolder


class LossMeans:
    """Means of named losses over the steps since the last line."""

    def __init__(self, sums: Mapping[str, tuple[float, int]] | None = None) -> None:
        self.sums = {name: (float(total), int(count)) for name, (total, count) in (sums or {}).items()}
        """Sum and number of steps by name; plain values, for a checkpoint."""

    def add(self, losses: Mapping[str, float]) -> None:
        """Take in the losses of a step."""
        for name, loss in losses.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + loss, count + 1)

    def take(self) -> dict[str, float]:
        """The means; they start anew."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


class Metrics:
    """Writes a run's metrics; what lies after ``step`` is of steps that are done again, and is removed.

    Raises:
        OSError: the disk did not take it.
    """

    def __init__(self, run: RunFolder, step: int) -> None:
        self._run = run
        lines = list(_lines_until(run, step))
        write_whole_text(run.metrics, "".join(lines))
        self._tensorboard = SummaryWriter(str(run.tensorboard), purge_step=step + 1)

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line; ``step`` in it is the number of steps done, mappings in it are groups of numbers."""
        with self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name, number in _numbers(line):
            self._tensorboard.add_scalar(name, number, line["step"])

    def show(self, step: int, pictures: Mapping[str, ImageArray]) -> None:
        """Write sample pictures."""
        self._run.save_pictures(step, pictures)
        for name, picture in pictures.items():
            self._tensorboard.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is under way."""
        self._tensorboard.close()


def _numbers(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{inner}", number) for inner, number in value.items())
        elif name != "step":
            yield name, value


def _lines_until(run: RunFolder, step: int) -> Iterator[str]:
    """The whole lines of the steps up to ``step``; a kill may have left half a line at the end."""
    if not run.metrics.exists():
        return
    for line in run.metrics.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n") and json.loads(line)["step"] <= step:
            yield line
