"""How the video model is fine-tuned, and how videos are drawn from it: data only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from svam_ros.networks.presets import PresetName
from svam_train.recipes.training_settings import TrainingSettings


@dataclass(frozen=True)
class VideoNoise:
    """Noise levels of training.

    Most are log-normal, as Stable Video Diffusion was trained (arXiv 2311.15127, appendix D); the policy
    looks at the video model's highest level only, where these have next to no rows: so some rows are
    drawn there.

    Raises:
        ValueError: a number is out of its range.
    """

    log_mean: float = 0.7
    log_deviation: float = 1.6
    deployment_share: float = 0.15
    """Of rows whose level is drawn log-uniformly from the range that follows."""
    deployment_lowest: float = 80.0
    deployment_highest: float = 700.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.deployment_share <= 1.0:
            raise ValueError(f"deployment_share is {self.deployment_share}, but must be between 0 and 1")
        if not 0.0 < self.deployment_lowest <= self.deployment_highest or self.log_deviation <= 0.0:
            raise ValueError("need 0 < deployment_lowest <= deployment_highest and log_deviation > 0")


@dataclass(frozen=True)
class VideoSampling:
    """How a video is drawn from the model in several steps.

    Levels go from the highest, which is that of the policy's one pass, down to sigma_min along
    equation 5 of Karras et al. 2022 (arXiv 2206.00364), then to zero.

    Raises:
        ValueError: a number is out of its range.
    """

    steps: int = 25
    """Levels; with guidance each pass is one of twice the batch."""
    method: Literal["euler", "heun"] = "euler"
    """Euler's takes one pass a level; Heun's corrects each step by a second one (Karras et al., algorithm 1
    without churn)."""
    guidance_first: float = 1.0
    """Classifier-free guidance by the text in the first frame; 1 is none."""
    guidance_last: float = 3.0
    """The same in the last frame; it changes linearly over the frames between."""
    sigma_min: float = 0.002
    rho: float = 7.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0.0 < self.sigma_min < 700.0 or self.rho <= 0.0:
            raise ValueError(f"need steps >= 1, 0 < sigma_min < 700 and rho > 0, got {self}")


@dataclass(frozen=True)
class VideoRecipe:
    """Stage 1: the text-conditioned video model.

    Raises:
        ValueError: a number is out of its range; the text names it.
    """

    network: PresetName
    """Its sizes, by name."""
    training: TrainingSettings
    frame_spacing: int
    """Control steps between two frames; the number of frames is the network's."""
    noise: VideoNoise = field(default_factory=VideoNoise)
    sampling: VideoSampling = field(default_factory=VideoSampling)
    """For the pictures of the run."""
    text_dropout: float = 0.05
    """Share of rows without text, which guidance needs."""
    train_text: bool = False
    """Train the text encoder too: for one that starts from nothing."""
    low_rank: int = 0
    """Train only updates of this rank of the attention's projections (LoRA); 0 trains all weights."""
    held_out_share: float = 0.05
    """Of the episodes, for looking only."""
    held_out_clips: int = 32
    """Clips of held-out episodes that are looked at."""
    pictured_clips: int = 4
    """Of these, clips that are drawn."""

    def __post_init__(self) -> None:
        for name in ("frame_spacing", "held_out_clips", "pictured_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        if self.low_rank < 0:
            raise ValueError(f"low_rank is {self.low_rank}, but must not be negative")
        if not 0.0 <= self.text_dropout < 1.0:
            raise ValueError(f"text_dropout is {self.text_dropout}, but must be at least 0 and below 1")


_PUBLISHED = TrainingSettings(
    steps=100_000,
    batch_size=24,
    accumulate=1,
    learning_rate=5e-6,
    warm_up_steps=500,
    schedule="constant",
    betas=(0.9, 0.999),
    weight_decay=0.0,
    gradient_norm=1.0,
    average_decay=0.9999,
    precision="bf16",
    gradient_checkpointing=True,
    checkpoint_every_s=1800.0,
    log_every=50,
    evaluate_every=2500,
    pictures_every=2500,
)
"""Learning rate, betas, clipping and batch as the fine-tuning of the Video Prediction Policy
(arXiv 2412.14803) that S-VAM builds on; bfloat16 in place of float16 needs no scaling of the loss."""

PRESETS: dict[str, VideoRecipe] = {
    "tiny": VideoRecipe(
        network="tiny",
        training=TrainingSettings(
            steps=3000,
            batch_size=32,
            learning_rate=1e-3,
            warm_up_steps=100,
            average_decay=0.998,
            precision="auto",
            checkpoint_every_s=120.0,
        ),
        frame_spacing=8,
        noise=VideoNoise(deployment_share=0.5),
        train_text=True,
    ),
    "calvin": VideoRecipe(network="calvin", training=_PUBLISHED, frame_spacing=2),
    "metaworld": VideoRecipe(network="calvin", training=_PUBLISHED, frame_spacing=2),
    "cobot": VideoRecipe(network="cobot", training=replace(_PUBLISHED, steps=40_000), frame_spacing=5),
}
"""Complete recipes by name. ``cobot`` sees a frame every 0.2 s. The tiny network has capacity for one thing
only: half its rows are where the policy looks."""
