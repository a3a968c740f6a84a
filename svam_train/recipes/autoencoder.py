"""How the autoencoder of a network without a public one is trained: data only."""

from __future__ import annotations

from dataclasses import dataclass

from svam_ros.networks.presets import PresetName
from svam_train.recipes.training_settings import TrainingSettings


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Numbers of the autoencoder; a network of published sizes takes SVD's instead.

    Raises:
        ValueError: a number is out of its range; the text names it.
    """

    network: PresetName
    """Its sizes, by name."""
    training: TrainingSettings
    frame_spacing: int = 8
    """Control steps between two pictures of a clip; the number of pictures is the network's."""
    classes_weight: float = 1.0
    """Of the mean over the simulation's classes of things of the absolute error within each, where the
    episodes know them: in a mean over all pixels a cube is next to nothing, and grey would do for it."""
    divergence_weight: float = 1e-3
    """Of the mean Kullback-Leibler divergence of a latent from a standard normal: keeps latents bounded."""
    held_out_share: float = 0.05
    """Of the episodes, for looking only."""
    held_out_pictures: int = 64
    """Clips of held-out episodes that are looked at."""

    def __post_init__(self) -> None:
        if self.frame_spacing < 1 or self.held_out_pictures < 1:
            raise ValueError("frame_spacing and held_out_pictures must be at least 1")
        for name in ("divergence_weight", "classes_weight"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must not be negative")
        if self.training.gradient_checkpointing:
            raise ValueError("the autoencoder is small: it has no gradient_checkpointing")


PRESETS: dict[str, AutoencoderRecipe] = {
    "tiny": AutoencoderRecipe(
        network="tiny",
        training=TrainingSettings(
            steps=4000,
            batch_size=8,
            learning_rate=2e-3,
            warm_up_steps=50,
            average_decay=0.995,
            precision="auto",
            checkpoint_every_s=120.0,
        ),
    ),
}
"""Complete recipes by name."""
