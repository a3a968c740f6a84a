"""Small networks with random weights, their inputs, and model directories made of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svam_ros.artifacts.manifest import Provenance
from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.artifacts.model_saving import ModelContents, save_model
from svam_ros.artifacts.tokenizer import InstructionTokenizer, build_word_tokenizer
from svam_ros.networks.config import (
    ActionExpertConfig,
    BackboneConfig,
    DecouplerConfig,
    GeometricReferenceConfig,
    ImageEncoderConfig,
    ReferenceConfig,
    SemanticReferenceConfig,
    SvamConfig,
    TextConfig,
    UniPerceiverConfig,
)
from svam_ros.networks.normalization import Statistics, fit_normalization
from svam_ros.networks.svam import InstructionCondition, Svam
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.types import ArmState, CameraFrame, Observation

SENTENCES = ("lift the pot with both arms", "place the carrot into the pot")

CONFIG = SvamConfig(
    image_encoder=ImageEncoderConfig(
        32, (16, 32, 32, 32), 1, latent_channels=8, norm_groups=16, latent_scale=1.0
    ),
    text=TextConfig(64, 64, 128, 2, 2, 64, 0, 1, 2, length=20, max_positions=20, add_positions=False),
    backbone=BackboneConfig((32, 32, 64), (1, 1, 2), (True, True, False), 1, 3, 32, 4.0, 127.0, 0.0),
    references=ReferenceConfig(
        56,
        14,
        "bilinear",
        "minus_one_to_one",
        SemanticReferenceConfig(width=64, layers=2, heads=2, registers=4),
        GeometricReferenceConfig(64, 4, 2, alternate_from=2, qk_norm_from=2, rotary_from=2),
    ),
    semantic_decoupler=DecouplerConfig(width=64, layers=2, heads=2, dropout=0.0),
    geometric_decoupler=DecouplerConfig(width=64, layers=2, heads=2, dropout=0.0),
    uni_perceiver=UniPerceiverConfig(96, 192, 2, 2, head_width=48, latents_per_frame=8),
    action_expert=ActionExpertConfig(
        action_dim=14,
        pred_horizon=6,
        width=128,
        hidden_width=256,
        encoder_layers=2,
        decoder_layers=2,
        heads=4,
        proprioception=True,
        sigma_data=0.5,
        sigma_min=0.02,
        sigma_max=80.0,
        sampler_steps=3,
        attention_dropout=0.0,
        residual_dropout=0.0,
        mlp_dropout=0.0,
    ),
    exec_horizon=4,
)
"""The whole structure with the smallest widths: tests build it in a tenth of a second."""


def with_expert(config: SvamConfig, **changes: Any) -> SvamConfig:
    return dataclasses.replace(config, action_expert=dataclasses.replace(config.action_expert, **changes))


def as_on_the_cobot(config: SvamConfig) -> SvamConfig:
    """The reference encoders are shown the picture as in the presets for the Cobot."""
    references = dataclasses.replace(config.references, resize="bicubic_antialias", normalization="imagenet")
    return dataclasses.replace(config, references=references)


def with_larger_pictures(config: SvamConfig) -> SvamConfig:
    """Of 64 pixels: with the usual 32 the deepest grid is one pixel and a group norm there has two numbers.

    Two normalised numbers are 1 and -1, so where they are almost equal rounding decides their signs: single
    precision was then 1.7e-2 wrong in one picture of twelve. TensorRT refuses groups of a single number.
    """
    return dataclasses.replace(
        config,
        image_encoder=dataclasses.replace(config.image_encoder, image_size=64),
        references=dataclasses.replace(config.references, image_size=112),
    )


def random_network(config: SvamConfig = CONFIG, *, seed: int = 0, with_video_head: bool = False) -> Svam:
    torch.manual_seed(seed)
    return Svam(config, with_video_head=with_video_head).eval()


@dataclasses.dataclass(frozen=True)
class NetworkInputs:
    image: Tensor
    condition: InstructionCondition
    joints: Tensor
    latent_noise: Tensor
    action_noise: Tensor

    def rows(self, index: list[int]) -> NetworkInputs:
        return NetworkInputs(
            self.image[index],
            self.condition.rows(torch.tensor(index)),
            self.joints[index],
            self.latent_noise[index],
            self.action_noise[index],
        )

    def as_tuple(self) -> tuple[Any, ...]:
        return (self.image, self.condition, self.joints, self.latent_noise, self.action_noise)


def token_ids(config: SvamConfig = CONFIG) -> tuple[Tensor, Tensor]:
    """Two instructions: ids and mask, each ``(2, length)``."""
    encoded = [tokenizer(config).encode(sentence) for sentence in SENTENCES]
    ids = np.concatenate([item.token_ids for item in encoded])
    mask = np.concatenate([item.attention_mask for item in encoded])
    return torch.from_numpy(ids), torch.from_numpy(mask)


def random_inputs(network: Svam, *, seed: int = 1) -> NetworkInputs:
    """A batch of two different images under two different instructions, in the network's precision."""
    config = network.config
    generator = torch.Generator().manual_seed(seed)
    dtype = next(network.parameters()).dtype
    size = config.image_encoder.image_size

    def normal(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator).to(dtype)

    return NetworkInputs(
        normal(3, size, size).clamp(-1, 1),
        network.encode_instruction(*token_ids(config)),
        normal(config.action_expert.action_dim),
        normal(*config.latent_noise_shape),
        normal(*config.action_noise_shape),
    )


def tokenizer(config: SvamConfig = CONFIG) -> InstructionTokenizer:
    return build_word_tokenizer(SENTENCES, config.text)


def statistics() -> Statistics:
    """Arms move relative to where they are, grippers go to absolute openings."""
    rng = np.random.default_rng(0)
    arm = (True,) * 6 + (False,)
    return Statistics(
        fit_normalization(rng.normal(0.0, 0.1, (200, 14)), "range"),
        fit_normalization(rng.normal(0.3, 0.5, (200, 14)), "moments"),
        arm + arm,
    )


def model_contents(network: Svam) -> ModelContents:
    return ModelContents(
        network=network,
        statistics=statistics(),
        tokenizer=tokenizer(network.config),
        preset="tiny",
        image=ImagePreparation("centre_square", network.config.image_encoder.image_size, "area"),
        provenance=Provenance("2026-01-01T00:00:00Z", "test", "none", 0, {"torch": torch.__version__}, {}),
        documents={"README.md": "Random weights, for tests.\n"},
    )


def save_random_model(path: Path, *, network: Svam | None = None) -> ModelDirectory:
    return save_model(path, model_contents(network or random_network()))


def observation(instruction: str = SENTENCES[0], *, seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 255, (480, 640, 3), dtype=np.uint8)
    arms = ArmState(rng.normal(0.0, 0.3, 14), np.zeros(14), 10**9, 10**9)
    return Observation(CameraFrame(rgb, 10**9), arms, instruction)
