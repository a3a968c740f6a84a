"""How the foresight decouplers are trained (stage 2): data only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from svam_ros.networks.presets import PresetName
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.recipes.video import VideoSampling


@dataclass(frozen=True)
class DecouplersRecipe:
    """Stage 2: self-distillation of many steps of the video model into one.

    Raises:
        ValueError: a number is out of its range; the text names it.
    """

    network: PresetName
    """Its sizes, by name."""
    training: TrainingSettings
    frame_spacing: int
    """Control steps between two frames, as the video model was trained with."""
    kinds: tuple[Literal["semantic", "geometric"], ...] = ("semantic", "geometric")
    """Which of the two are trained; they share nothing but the videos."""
    targets: Literal["generated", "true_future"] = "generated"
    """Frames that the teachers look at: the video model's own, or what really happened (the paper's
    ablation)."""
    sampling: VideoSampling = field(default_factory=VideoSampling)
    """How the model's own videos are drawn."""
    cosine_weight: float = 0.0
    """Of one minus the cosine between foreseen and seen tokens, beside the squared error."""
    standardise: bool = False
    """Count each channel's squared error in units of its variance over the training data."""
    cached_examples: int = 0
    """Videos that are drawn once and kept with their features in files; 0 draws new ones in every step.
    At published sizes an example takes about 45 MB."""
    examples_per_shard: int = 32
    """Of the files."""
    held_out_share: float = 0.05
    """Of the episodes, for looking only."""
    held_out_clips: int = 32
    """Clips of held-out episodes that are looked at."""
    surveyed_clips: int = 32
    """Clips of training episodes from which colours, the depth probe and channels' variances are fitted."""
    pictured_clips: int = 3
    """Of the held-out clips, those that are drawn."""

    def __post_init__(self) -> None:
        at_least_one = (
            "frame_spacing",
            "examples_per_shard",
            "held_out_clips",
            "surveyed_clips",
            "pictured_clips",
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")
        for name in ("cosine_weight", "cached_examples"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must not be negative")
        if not self.kinds or len(set(self.kinds)) != len(self.kinds):
            raise ValueError(f"kinds is {self.kinds}, but must name each decoupler to train once")


_PUBLISHED = TrainingSettings(
    steps=50_000,
    batch_size=2,
    learning_rate=1e-4,
    schedule="constant",
    betas=(0.9, 0.999),
    weight_decay=1e-4,
    gradient_norm=1.0,
    average_decay=0.9999,
    precision="bf16",
    checkpoint_every_s=1800.0,
    log_every=50,
    evaluate_every=2500,
    pictures_every=2500,
)
"""As published: 50,000 steps of two videos on one GPU, AdamW at 1e-4."""

_FULL_SIZE = DecouplersRecipe(
    network="calvin", training=_PUBLISHED, frame_spacing=2, held_out_clips=16, surveyed_clips=16
)

PRESETS: dict[str, DecouplersRecipe] = {
    "tiny": DecouplersRecipe(
        network="tiny",
        training=TrainingSettings(
            steps=1500,
            batch_size=32,
            learning_rate=2e-3,
            warm_up_steps=100,
            optimizer="muon",
            average_decay=0.995,
            precision="auto",
            checkpoint_every_s=120.0,
        ),
        frame_spacing=8,
        sampling=VideoSampling(steps=6),
        standardise=True,
        cached_examples=1200,
        held_out_clips=64,
        surveyed_clips=64,
    ),
    "calvin": _FULL_SIZE,
    "metaworld": _FULL_SIZE,
    "cobot": replace(_FULL_SIZE, network="cobot", frame_spacing=5),
}
"""Complete recipes by name; frames are as far apart as in the video model's recipe of that name."""
