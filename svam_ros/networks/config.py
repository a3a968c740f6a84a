"""Every width, depth and constant of an S-VAM network.

The structure of the network is fixed (arXiv 2603.16195, section 3); a :class:`SvamConfig` says how
large each part is. The sizes that have a name are in :mod:`svam_ros.networks.presets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svam_ros.networks.config_checks import check_config

FEATURE_UPSAMPLING = 4
"""Features are taken after two up blocks, each of which doubles the coarsest level's resolution."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """The encoder half of the video autoencoder: image to latents."""

    image_size: int
    """Side of the square input, pixels."""
    block_widths: tuple[int, ...]
    """Channels of each level; every level but the last halves the resolution."""
    layers_per_block: int
    latent_channels: int
    norm_groups: int
    """Groups of every group norm; 32 as published, fewer for levels narrower than that."""
    latent_scale: float
    """Latents times this have about unit variance: the units in which video is predicted."""

    @property
    def latent_size(self) -> int:
        """Side of the latent image."""
        return self.image_size // 2 ** (len(self.block_widths) - 1)


@dataclass(frozen=True)
class TextConfig:
    """The causal text transformer (CLIP's) that reads the instruction."""

    vocabulary_size: int
    width: int
    mlp_width: int
    layers: int
    heads: int
    goal_width: int
    """Width of the pooled and projected sentence that the action expert sees."""
    bos_id: int
    eos_id: int
    pad_id: int
    length: int
    """Tokens fed per instruction, begin and end marks and padding included."""
    max_positions: int
    add_positions: bool
    """Add fixed sine and cosine positions to the states that the backbone sees. Must be as in the
    fine-tuning of the video model: published real-robot models have them, published CALVIN models do not."""


@dataclass(frozen=True)
class BackboneConfig:
    """The spatio-temporal UNet of the video diffusion model, run once."""

    block_widths: tuple[int, ...]
    heads: tuple[int, ...]
    attention_levels: tuple[bool, ...]
    """Whether a level has transformers besides its residual blocks."""
    layers_per_block: int
    frames: int
    time_id_width: int
    """Sine features for each of the three added time ids."""
    frames_per_second_id: float
    """SVD is told a frame rate. Published fine-tuning on CALVIN says 7, the published policy 4."""
    motion_bucket_id: float
    noise_augmentation_id: float

    @property
    def feature_width(self) -> int:
        """Channels of the features: first and second up block side by side."""
        return self.block_widths[-1] + self.block_widths[-2]


@dataclass(frozen=True)
class SemanticReferenceConfig:
    """A DINOv2 vision transformer with registers."""

    width: int
    layers: int
    heads: int
    registers: int


@dataclass(frozen=True)
class GeometricReferenceConfig:
    """The part of a Depth Anything 3 backbone that the first output stage needs."""

    width: int
    layers: int
    """Blocks run: up to the one whose output is taken. As published it attends globally."""
    heads: int
    alternate_from: int
    """First block of the local/global alternation; the camera token enters before it."""
    qk_norm_from: int
    """First block with normalised queries and keys."""
    rotary_from: int
    """First block with two-dimensional rotary positions."""


@dataclass(frozen=True)
class ReferenceConfig:
    """How the first frame is shown to the two reference encoders."""

    image_size: int
    patch_size: int
    resize: Literal["bilinear", "bicubic_antialias"]
    """Published decouplers were trained on ``bicubic_antialias``, the published policy on ``bilinear``."""
    normalization: Literal["minus_one_to_one", "imagenet"]
    """The published decouplers were trained on ``imagenet``, the published policy on ``minus_one_to_one``:
    the network's image as it is. Published action weights have learnt to live with the latter."""
    semantic: SemanticReferenceConfig
    geometric: GeometricReferenceConfig

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def geometric_width(self) -> int:
        """Width of a geometric token: a local and a global block's output side by side."""
        return 2 * self.geometric.width


@dataclass(frozen=True)
class DecouplerConfig:
    """A foresight decoupler: features of one pass to tokens of a vision foundation model."""

    width: int
    layers: int
    heads: int
    dropout: float


@dataclass(frozen=True)
class UniPerceiverConfig:
    """The resampler that condenses all foresight into a few latents per frame."""

    width: int
    hidden_width: int
    """Width between the two layers of the input projection."""
    layers: int
    heads: int
    head_width: int
    """Width of one head of the resampling attention; temporal heads are ``width / heads``."""
    latents_per_frame: int


@dataclass(frozen=True)
class ActionExpertConfig:
    """The diffusion transformer that turns context into actions, and its noise schedule."""

    action_dim: int
    pred_horizon: int
    """Actions predicted at once."""
    width: int
    hidden_width: int
    """Width between the two layers of the sigma, goal and joint embeddings."""
    encoder_layers: int
    decoder_layers: int
    heads: int
    proprioception: bool
    """Whether measured joints enter as one more token of the encoder."""
    sigma_data: float
    sigma_min: float
    """Last noise level above zero of the sampler at run time. The published training draws noise levels
    down to 0.001 and validates there; the published evaluation stops at 1.0."""
    sigma_max: float
    sampler_steps: int
    attention_dropout: float
    residual_dropout: float
    mlp_dropout: float
    longest_prefix: int = 0
    """Actions at the beginning of a chunk that may be given to it, because they are committed already: as
    many as it was trained with. The published network was trained without."""


@dataclass(frozen=True)
class SvamConfig:
    """One network, whole.

    Raises:
        ConfigError: a size is below 1, or grids, widths or horizons of two parts do not fit.
    """

    image_encoder: ImageEncoderConfig
    text: TextConfig
    backbone: BackboneConfig
    references: ReferenceConfig
    semantic_decoupler: DecouplerConfig
    geometric_decoupler: DecouplerConfig
    uni_perceiver: UniPerceiverConfig
    action_expert: ActionExpertConfig
    exec_horizon: int
    """Actions of a prediction that are sent to the robot as one chunk."""

    def __post_init__(self) -> None:
        check_config(self)

    @property
    def grid(self) -> int:
        """Side of the feature grid, tokens."""
        coarsest = self.image_encoder.latent_size // 2 ** (len(self.backbone.block_widths) - 1)
        return FEATURE_UPSAMPLING * coarsest

    @property
    def tokens_per_frame(self) -> int:
        """Feature tokens of one frame."""
        return self.grid**2

    @property
    def latent_noise_shape(self) -> tuple[int, int, int, int]:
        """``(frames, channels, height, width)`` of the noise that one pass of the backbone takes."""
        size = self.image_encoder.latent_size
        return (self.backbone.frames, self.image_encoder.latent_channels, size, size)

    @property
    def action_noise_shape(self) -> tuple[int, int]:
        """``(pred_horizon, action_dim)`` of the noise that the sampler starts from."""
        return (self.action_expert.pred_horizon, self.action_expert.action_dim)
