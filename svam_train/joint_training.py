"""Training in one stage: everything from pixels to actions at once, on one machine.

The three stages of the paper are for networks that start from large pretrained models. The tiny preset
starts from nothing, so all of its parts learn together.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from svam_ros.artifacts.tokenizer import InstructionTokenizer, build_word_tokenizer
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.svam import Svam
from svam_ros.simulation.front_camera import SceneClass
from svam_train.episodes.chunk_dataset import ChunkDataset, draw_rows
from svam_train.episodes.scene_truth import MOVABLE
from svam_train.joint_objective import (
    DepthUnits,
    TokenizedInstructions,
    TrainedNetwork,
    joint_losses,
    sampled_error,
    tokenize_instructions,
    weighted_sum,
)
from svam_train.losses import TrainingHeads
from svam_train.recipe import TrainingRecipe
from svam_train.starting_weights import start_positions
from svam_train.training.exponential_average import ExponentialAverage
from svam_train.training_checkpoint import (
    CheckpointError,
    TrainingCheckpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

CHANGED_BY_EXTENDING = ("steps", "extends", "loss_weights")
"""What may differ from the recipe of the run that is extended."""

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Progress:
    """What can be told after a step."""

    step: int
    """Steps done."""
    losses: dict[str, float]
    seconds_per_step: float


class JointTraining:
    """A training run in a folder: goes on where its last checkpoint stands.

    Args:
        recipe: all numbers.
        training: demonstrations to learn from.
        held_out: demonstrations to look at only.
        folder: gets ``checkpoint.safetensors`` and ``metrics.jsonl``.

    Raises:
        CheckpointError: the folder's checkpoint was made with another recipe.
    """

    def __init__(
        self, recipe: TrainingRecipe, training: ChunkDataset, held_out: ChunkDataset, folder: Path
    ) -> None:
        self.recipe = recipe
        self.training = training
        self.held_out = held_out
        self.folder = folder
        self.statistics: Statistics = training.fit_statistics()
        self.horizon = training.shape.pred_horizon
        config = PRESETS[recipe.preset]
        self.tokenizer: InstructionTokenizer = build_word_tokenizer(training.instructions, config.text)
        self.instructions = tokenize_instructions(self.tokenizer, training.instructions)
        self.depth_units = DepthUnits(*training.depth_moments())
        torch.manual_seed(recipe.seed)
        network = Svam(config, with_video_head=True)
        start_positions(network, recipe.position_scale)
        self.trained = TrainedNetwork(network, TrainingHeads(config, len(SceneClass), len(MOVABLE)))
        self.average = ExponentialAverage(self.trained, recipe.average_decay)
        self.optimizer = torch.optim.AdamW(
            self.trained.parameters(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.step = 0
        self.trained_s = 0.0
        self.earlier: tuple[dict[str, Any], ...] = ()
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Go back to the folder's checkpoint, or to the end of the run that this one extends.

        Raises:
            CheckpointError: there is none, or it was made with another recipe.
        """
        checkpoint = load_checkpoint(self.folder)
        ours = json.loads(json.dumps(asdict(self.recipe)))
        theirs, earlier = dict(checkpoint.recipe), checkpoint.earlier
        if self.recipe.extends and theirs.get("steps") == self.recipe.extends == checkpoint.step:
            earlier = (*earlier, checkpoint.recipe)
            theirs |= {name: ours[name] for name in CHANGED_BY_EXTENDING}
        if theirs != ours:
            differing = [key for key in ours if theirs.get(key) != ours[key]]
            raise CheckpointError(
                f"{self.folder}: its checkpoint was trained with other values of {', '.join(differing)}; "
                f"use the same ones, or another folder"
            )
        self.trained.load_state_dict(checkpoint.groups["weights"])
        self.average.restore(checkpoint.groups["average"])
        restore_optimizer(self.optimizer, checkpoint.groups["optimizer"])
        self.earlier = earlier
        self.step, self.trained_s = checkpoint.step, checkpoint.trained_s

    def run(
        self, *, checkpoint_every_s: float = 180.0, evaluate_every: int = 200, held_out_rows: int = 64
    ) -> Iterator[Progress]:
        """Train until the recipe's last step, yielding after each.

        Args:
            checkpoint_every_s: seconds between checkpoints; the end is checkpointed too.
            evaluate_every: steps between two lines of metrics; the end gets one too.
            held_out_rows: held-out examples of each instruction that a line is about.
        """
        saved_at = time.monotonic()
        while self.step < self.recipe.steps:
            started = time.monotonic()
            losses = self.train_step()
            duration = time.monotonic() - started
            self.trained_s += duration
            yield Progress(self.step, losses, duration)
            last = self.step == self.recipe.steps
            if self.step % evaluate_every == 0 or last:
                self._write_metrics(losses, duration, held_out_rows)
            if last or time.monotonic() - saved_at > checkpoint_every_s:
                self.save()
                saved_at = time.monotonic()

    def train_step(self) -> dict[str, float]:
        """One step on the batch that belongs to it; returns the losses before the step."""
        recipe, step = self.recipe, self.step
        self.trained.train()
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _learning_rate_share(step, recipe)
        rows = draw_rows(self.training, recipe.batch_size, recipe.seed, step)
        losses = self._losses(
            self.training, rows, self.instructions, seed=step, with_video=step % recipe.video_every == 0
        )
        self.optimizer.zero_grad(set_to_none=True)
        weighted_sum(losses, recipe).backward()
        norm = torch.nn.utils.clip_grad_norm_(
            self.trained.parameters(), recipe.gradient_norm, error_if_nonfinite=True
        )
        self.optimizer.step()
        self.average.update(self.trained, step)
        self.step += 1
        return {name: value.item() for name, value in losses.items()} | {"gradient_norm": float(norm)}

    def averaged(self) -> TrainedNetwork:
        """A copy with the averaged weights, for evaluation and publishing."""
        config = PRESETS[self.recipe.preset]
        copy = TrainedNetwork(
            Svam(config, with_video_head=True), TrainingHeads(config, len(SceneClass), len(MOVABLE))
        )
        copy.load_state_dict(self.average.values)
        return copy.eval()

    def save(self) -> Path:
        """Write the checkpoint."""
        groups = {
            "weights": self.trained.state_dict(),
            "average": self.average.values,
            "optimizer": optimizer_tensors(self.optimizer),
        }
        checkpoint = TrainingCheckpoint(self.step, self.trained_s, asdict(self.recipe), groups, self.earlier)
        return save_checkpoint(self.folder, checkpoint)

    def held_out_losses(self, rows_per_instruction: int = 64) -> dict[str, float]:
        """Losses and sampled error of the averaged weights on held-out episodes, on the same rows always."""
        random = np.random.default_rng(0)
        rows = np.concatenate(
            [
                random.choice(self.held_out.rows_of(name), rows_per_instruction)
                for name in self.held_out.instructions
            ]
        )
        copy = self.averaged()
        tokens = tokenize_instructions(self.tokenizer, self.held_out.instructions)
        current, self.trained = self.trained, copy
        try:
            with torch.no_grad():
                losses = self._losses(self.held_out, rows, tokens, seed=0, with_video=True)
        finally:
            self.trained = current
        batch = self.held_out.batch(rows, self.statistics)
        with _fast_arithmetic():
            error = sampled_error(copy, batch, tokens, self.recipe)
        return {name: float(value) for name, value in losses.items()} | {"sampled_error": error}

    def _losses(
        self,
        dataset: ChunkDataset,
        rows: np.ndarray,
        instructions: TokenizedInstructions,
        *,
        seed: int,
        with_video: bool,
    ) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + seed)
        with _fast_arithmetic():
            return joint_losses(
                self.trained,
                dataset.batch(rows, self.statistics),
                instructions,
                self.depth_units,
                self.recipe,
                generator,
                with_video=with_video,
            )

    def _write_metrics(self, losses: dict[str, float], duration: float, held_out_rows: int) -> None:
        line = {
            "step": self.step,
            "trained_s": round(self.trained_s, 1),
            "seconds_per_step": round(duration, 3),
            "training": losses,
            "held_out": self.held_out_losses(held_out_rows),
        }
        with (self.folder / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def _fast_arithmetic() -> Iterator[None]:
    """bfloat16 where it is safe, and plain attention: on a CPU the fused kernel's backward is slow."""
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield


def _learning_rate_share(step: int, recipe: TrainingRecipe) -> float:
    """Linear warm-up, then a cosine to zero."""
    rising = (step + 1) / recipe.warm_up_steps
    return min(1.0, rising) * 0.5 * (1.0 + math.cos(math.pi * step / recipe.steps))
