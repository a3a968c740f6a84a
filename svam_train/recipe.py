"""The numbers of a joint training run, as data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NoiseLevels:
    """Log-logistic noise levels of the action loss, truncated (Karras et al., 2022; Reuss et al., 2023)."""

    median: float = 2.0
    """Half of the levels drawn lie below, but for the truncation."""
    spread: float = 0.8
    """Scale of the logistic distribution of the logarithm."""
    lowest: float = 0.5
    highest: float = 80.0


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts; the action loss counts 1."""

    reconstruction: float = 0.3
    """Pixels of the observed image, from its latents."""
    video: float = 0.3
    """Pixels of all frames, from the one-pass prediction."""
    semantic: float = 0.3
    """Classes of things in all frames, from the semantic foresight."""
    geometric: float = 0.1
    """Depth in all frames, from the geometric foresight."""
    places: float = 1.0
    """Where arms and objects are in all frames, from the Uni-Perceiver's latents."""
    rests: float = 3.0
    """Where the arms come to rest next, from the same latents of the first frame."""


@dataclass(frozen=True)
class TrainingRecipe:
    """Joint end-to-end training of a small network on demonstrations."""

    preset: str = "tiny"
    seed: int = 0
    steps: int = 1800
    extends: int = 0
    """``steps`` of the finished, shorter run in the same folder that this one goes on from; its learning
    rate continues where a cosine over all ``steps`` stands then. Loss weights may be changed."""
    batch_size: int = 32
    noise_draws: int = 4
    """Noise levels drawn for the action loss of each encoded image."""
    learning_rate: float = 1e-3
    """Peak; it rises linearly over ``warm_up_steps`` and falls to zero along a cosine."""
    warm_up_steps: int = 50
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    gradient_norm: float = 1.0
    average_decay: float = 0.995
    """Of the moving average of the weights, which is what gets published."""
    frame_offsets: tuple[int, ...] = (0, 8)
    """Control steps from the observation to each frame of the video."""
    noise_levels: NoiseLevels = field(default_factory=NoiseLevels)
    """The sampler never goes below sigma 1, so levels far below are not trained on: the published
    median is 0.5 with a spread of 0.5 between 0.001 and 80."""
    loss_weights: LossWeights = field(default_factory=LossWeights)
    joint_dropout: float = 0.2
    """Share of examples without measured joints: there the image has to tell everything."""
    video_every: int = 4
    """The upper half of the UNet is only needed for the video loss; it runs at every so many steps."""
    held_out_every: int = 20
    """Every so many seeds one is kept out of training, for the held-out losses."""
    position_scale: float = 0.3
    """Amplitude of the sines that the reference encoders' position tables start from."""
    blind: bool = False
    """Train without seeing: every image is grey. A baseline, not a policy."""
