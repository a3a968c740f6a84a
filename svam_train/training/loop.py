"""The training loop: from an objective's first step to its last, on one process or many.

Everything random follows from the seed and the step, so that what a checkpoint has to hold is little: the
weights, their average, the optimizer's state, and the losses since the last line of metrics.
"""

from __future__ import annotations

import errno
import logging
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device
from torch import Tensor, nn

from svam_ros.whole_files import whole_file
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.training.checkpoints import (
    CheckpointFolder,
    optimizer_tensors,
    restore_optimizer,
    write_tensors,
)
from svam_train.training.exponential_average import ExponentialAverage, trained_tensors
from svam_train.training.interruption import Interrupted, watched_signals
from svam_train.training.metrics import LossMeans, Metrics
from svam_train.training.objective import TOTAL, Objective
from svam_train.training.optimizer import make_optimizer
from svam_train.training.prepared_batches import PreparedBatches, Rows
from svam_train.training.processes import (
    is_sharded,
    machine_facts,
    make_accelerator,
    mean_over_processes,
    seed_step,
)
from svam_train.training.progress_bar import progress_bar
from svam_train.training.resources import check_disk, check_memory, needs_of
from svam_train.training.run_folder import FINISHED_FILE, RunError, RunFolder, write_json
from svam_train.training.schedule import learning_rate
from svam_train.training.sharded_tensors import copy_saved, whole, whole_parameters

_MOST_SKIPPED_IN_A_ROW = 20
"""With float16 a step is skipped while the scale of the loss is too large; it is halved each time."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

logger = logging.getLogger(__name__)


def train(objective: Objective, settings: TrainingSettings, run: RunFolder, *, resume: bool) -> None:
    """Train until the last step, and write what the stage hands on.

    Args:
        objective: what is trained.
        settings: how.
        run: where; nothing else is written.
        resume: go on from the newest checkpoint there, or start where there is none.

    Raises:
        RunError: the folder holds another run, the disk is or becomes too small, a loss or gradient is not
            finite, or the objective or the processes do not fit the loop; the text says what to do.
        Interrupted: a signal asked for the end; the run was saved (exit code 130 for Ctrl-C).
        Exception: whatever the objective raises.
    """
    accelerator = make_accelerator(settings.precision)
    try:
        settings.rows_per_part(accelerator.num_processes)
    except ValueError as error:
        raise RunError(str(error)) from error
    try:
        if not accelerator.is_main_process:
            _Training(objective, settings, run, accelerator).run()
            return
        run.begin(resume=resume)
        with run.alone():
            _Training(objective, settings, run, accelerator).run()
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise RunError(
            f"{run.path}: the disk is full ({error}); the checkpoints in it are still good: make room, then "
            f"go on with --resume"
        ) from error


class _Training:
    """A run under way in this process."""

    def __init__(
        self, objective: Objective, settings: TrainingSettings, run: RunFolder, accelerator: Accelerator
    ) -> None:
        self.objective = objective
        self.settings = settings
        self.folder = run
        self.checkpoints = CheckpointFolder(run.checkpoints, settings.keep_checkpoints)
        self.accelerator = accelerator
        self.main = bool(accelerator.is_main_process)
        if self.main:
            self._check_resources()
        optimizer = make_optimizer(objective.module, settings, sharded=is_sharded(accelerator))
        self.model, self.optimizer = accelerator.prepare(objective.module, optimizer)
        self.module: nn.Module = accelerator.unwrap_model(self.model)
        self.average = ExponentialAverage(self.module, settings.average_decay)
        self.means = LossMeans()
        self.step = 0
        self.trained_s = 0.0
        self.skipped = 0
        self._restore()

    def run(self) -> None:
        """All steps that are left."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        with ExitStack() as stack:
            metrics = Metrics(self.folder, self.step) if self.main else None
            if metrics is not None:
                stack.callback(metrics.close)
            batches = stack.enter_context(PreparedBatches(self.objective, self.settings, process, processes))
            interruption = stack.enter_context(watched_signals())
            bar = stack.enter_context(progress_bar(self.settings.steps, self.step)) if self.main else None
            saved_at = time.monotonic()
            while self.step < self.settings.steps:
                started = time.monotonic()
                due = self.main and started - saved_at > self.settings.checkpoint_every_s
                told = self._take_step(
                    batches.parts(self.step),
                    {"checkpoint due": float(due), "interrupted": float(interruption.signal_number > 0)},
                )
                self.trained_s += time.monotonic() - started
                if bar is not None:
                    bar.show(f"loss {told[TOTAL]:.4g}")
                self._report(metrics)
                last = self.step == self.settings.steps
                if last or told["checkpoint due"] or told["interrupted"]:
                    self._save()
                    saved_at = time.monotonic()
                if told["interrupted"] and not last:
                    raise Interrupted(interruption.signal_number or signal.SIGINT)
        self._finish()

    def _take_step(self, parts: list[Rows], flags: Mapping[str, float]) -> dict[str, float]:
        """One step of the optimizer; returns losses, the gradient's norm and flags: means over processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.settings)
        seed_step(self.settings.seed, self.step, self.accelerator.process_index)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            # Gradients go between the processes once a step, with the last part.
            last = number == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                losses = self.model(send_to_device(part, self.accelerator.device, non_blocking=True))
                self.accelerator.backward(_total(losses) / len(parts))
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.detach().double() / len(parts)
        if self.step == 0:
            self._refuse_idle_parameters()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.gradient_norm)
        told = mean_over_processes(self.accelerator, {**sums, "gradient_norm": whole(norm), **flags})
        self._refuse_non_finite(told, set(sums))
        self.optimizer.step()
        self.average.update(self.module, self.step)
        self.step += 1
        self.means.add({name: told[name] for name in (*sums, "gradient_norm") if math.isfinite(told[name])})
        return told

    def _refuse_idle_parameters(self) -> None:
        idle = [
            name
            for name, value in self.module.named_parameters()
            if value.requires_grad and value.grad is None
        ]
        if idle:
            raise RunError(
                f"these parameters have no influence on '{TOTAL}': {', '.join(idle[:5])}"
                f"{' and more' if len(idle) > 5 else ''}; turn off their requires_grad or keep them out of "
                f"the module"
            )

    def _refuse_non_finite(self, told: Mapping[str, float], losses: set[str]) -> None:
        """Before the weights are touched; a few steps with too large a scale are float16's way."""
        wrong = {name: told[name] for name in losses if not math.isfinite(told[name])}
        if math.isfinite(told["gradient_norm"]) and not wrong:
            self.skipped = 0
            return
        self.skipped += 1
        if not wrong and self.accelerator.scaler is not None and self.skipped <= _MOST_SKIPPED_IN_A_ROW:
            return
        found = ", ".join(f"{name} {value}" for name, value in wrong.items()) or "all losses are finite"
        raise RunError(
            f"step {self.step}: gradient norm {told['gradient_norm']} ({found}); it did not change "
            f"the weights. Look at this step's batch for values that are not finite; if there are "
            f"none, lower learning_rate or use another precision than {self.settings.precision}"
        )

    def _report(self, metrics: Metrics | None) -> None:
        """Lines and pictures that are due after a step."""
        settings, step = self.settings, self.step
        last = step == settings.steps
        evaluate = last or step % settings.evaluate_every == 0
        line: dict[str, Any] = {
            "step": step,
            "trained_s": round(self.trained_s, 3),
            "learning_rate": learning_rate(step - 1, settings),
        }
        if evaluate:
            with self._looking() as module:
                held_out = self.objective.held_out(module)
            line["held_out"] = {name: float(value) for name, value in held_out.items()}
        if last or step % settings.pictures_every == 0:
            with self._looking() as module:
                pictures = self.objective.pictures(module)
            if metrics is not None:
                metrics.show(step, pictures)
        if evaluate or step % settings.log_every == 0:
            line["training"] = self.means.take()
            if metrics is not None:
                metrics.write(line)

    @contextmanager
    def _looking(self) -> Iterator[nn.Module]:
        """The module with averaged weights, in evaluation mode, in the arithmetic of training."""
        gathered_again = (
            is_sharded(self.accelerator) and self.accelerator.state.fsdp_plugin.reshard_after_forward
        )
        with ExitStack() as stack:
            stack.enter_context(self.average.carried_by(self.module))
            stack.enter_context(whole_parameters(self.module, reshard_after_forward=gathered_again))
            stack.enter_context(torch.no_grad())
            stack.enter_context(self.accelerator.autocast())
            seed_step(self.settings.seed, 0, 0)
            self.module.eval()
            yield self.module

    def _save(self) -> None:
        facts = {
            "trained_s": self.trained_s,
            "loss_sums": self.means.sums,
            "skipped": self.skipped,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else {},
        }
        groups = self._groups()
        if self.main:
            self.checkpoints.save(self.step, facts, groups)
        else:  # sharded tensors are gathered by all processes together
            for _ in groups:
                pass

    def _groups(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        state = {
            "weights": trained_tensors(self.module),
            "average": self.average.values,
            "optimizer": optimizer_tensors(self.module, self.optimizer.optimizer),
        }
        for group, tensors in state.items():
            yield group, self._gathered(tensors)

    def _gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors on the CPU, in the process that writes; nothing in the others."""
        gathered = {}
        for name, tensor in tensors.items():
            complete = whole(tensor.detach())
            if self.main:
                gathered[name] = complete.cpu()
        return gathered

    def _restore(self) -> None:
        newest = self.checkpoints.newest() if self.main else None
        chosen = broadcast_object_list([None if newest is None else newest.step])[0]
        if chosen is None:
            return
        checkpoint = self.checkpoints.at(chosen)
        facts = checkpoint.facts()
        try:
            copy_saved(checkpoint.tensors("weights"), trained_tensors(self.module))
            self.average.restore(checkpoint.tensors("average"))
        except ValueError as error:
            raise RunError(
                f"{checkpoint.folder}: saved by another version of the network: {error}; resume it with the "
                f"version that it was started with, or start a new run in another folder"
            ) from error
        restore_optimizer(self.module, self.optimizer.optimizer, checkpoint.tensors("optimizer"))
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        self.means = LossMeans(facts["loss_sums"])
        self.step, self.trained_s, self.skipped = chosen, facts["trained_s"], facts["skipped"]

    def _finish(self) -> None:
        with self._looking() as module:
            tensors = self._gathered(self.objective.network_tensors(module))
            # Written while the module carries the averages: the tensors may be its own memory.
            if self.main:
                with whole_file(self.folder.weights) as part:
                    write_tensors(part, tensors, {"steps": str(self.step)})
        if self.main:
            facts = {"steps": self.step, "trained_s": round(self.trained_s, 1)}
            write_json(self.folder.path / FINISHED_FILE, facts | machine_facts(self.accelerator))
        self.accelerator.wait_for_everyone()

    def _check_resources(self) -> None:
        """Before anything large is made.

        Raises:
            RunError: the disk cannot take a checkpoint.
        """
        weights = sum(value.numel() for value in self.objective.module.parameters() if value.requires_grad)
        needs = needs_of(weights, self.accelerator.num_processes if is_sharded(self.accelerator) else 1)
        there = len(self.checkpoints.all())
        for sentence in check_disk(self.folder.path, needs, self.settings, there):
            logger.warning("%s", sentence)
        for sentence in check_memory(needs, self.accelerator.device):
            logger.warning("%s", sentence)


def _total(losses: Mapping[str, Tensor]) -> Tensor:
    if TOTAL not in losses:
        raise RunError(f"the module's losses {', '.join(losses) or '(none)'} have no '{TOTAL}' to minimise")
    return losses[TOTAL]
