"""``svam-train tiny``: all parts of the tiny network in one joint stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from svam_train.recipe import TrainingRecipe
from svam_train.training.progress_bar import progress_bar


@dataclass(frozen=True)
class Tiny:
    """Train the tiny network in one joint stage; goes on by itself where the run folder stands."""

    demonstrations: Path = Path("runs/demonstrations")
    run: Path = Path("runs/tiny")
    """Gets the checkpoint and metrics.jsonl."""
    threads: int = 2
    """CPU threads."""
    checkpoint_every_s: float = 120.0
    evaluate_every: int = 200
    """Steps between two looks at the held-out demonstrations."""
    recipe: TrainingRecipe = field(default_factory=TrainingRecipe)


def run(options: Tiny) -> None:
    """Train.

    Raises:
        ValueError: demonstrations, recipe or run folder do not do; the text says why.
    """
    import torch

    from svam_train.tiny_recipe import open_run
    from svam_train.training_checkpoint import FILE_NAME

    torch.set_num_threads(options.threads)
    training = open_run(options.recipe, options.demonstrations, options.run)
    if (options.run / FILE_NAME).exists():
        training.resume()
    with progress_bar(options.recipe.steps - training.step) as bar:
        for progress in training.run(
            checkpoint_every_s=options.checkpoint_every_s, evaluate_every=options.evaluate_every
        ):
            losses = progress.losses
            bar.show(f"step {progress.step}  action {losses['action']:.4f}  classes {losses['semantic']:.4f}")
