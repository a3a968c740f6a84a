"""The numbers of the two tiny teachers' training; larger networks have public ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from svam_ros.networks.presets import PresetName
from svam_train.recipes.training_settings import TrainingSettings


@dataclass(frozen=True)
class TeachersRecipe:
    """Two reference encoders learn to see what simulation knows: classes, depth, places and the arms' joints.

    Raises:
        ValueError: a number is out of its range; the text names it.
    """

    network: PresetName = "tiny"
    """Whose reference encoders these are, by name; only tiny has small ones of its own."""
    truth_grid: int = 32
    """Patches along a side at which classes and depth are learnt: a multiple of the encoders' grid. Each
    token answers for a square of them."""
    depth_weight: float = 1.0
    """Of the depth loss; the classes' loss counts 1."""
    points_weight: float = 1.0
    """Of the loss of places in the robot's frame, where the data has them."""
    centres_weight: float = 1.0
    """Of the losses of where each thing's centre is, in the picture and in the robot's frame, where the data
    has them: every token is to know all, for a patch as wide as a cube cannot say where in it an edge is."""
    joints_weight: float = 1.0
    """Of the loss of the arms' joint angles as seen."""
    position_scale: float = 0.3
    """Amplitude of the sines that the encoders' position tables start from."""
    held_out_share: float = 0.05
    """Of the episodes, kept out of training."""
    held_out_rows: int = 256
    """Pictures of held-out episodes that a line of metrics is about."""
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            steps=7000,
            batch_size=32,
            learning_rate=2e-3,
            warm_up_steps=100,
            optimizer="muon",
            average_decay=0.995,
            precision="auto",
            checkpoint_every_s=120.0,
            evaluate_every=500,
            pictures_every=2000,
        )
    )

    def __post_init__(self) -> None:
        for name in ("truth_grid", "held_out_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        for name in ("depth_weight", "points_weight", "centres_weight", "joints_weight", "position_scale"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must not be negative")
        if self.training.gradient_checkpointing:
            raise ValueError("the tiny teachers are small: they have no gradient_checkpointing")


PRESETS: dict[str, TeachersRecipe] = {"tiny": TeachersRecipe()}
"""By the network's name."""
