"""The sizes of S-VAM that have a name.

``tiny`` needs a fraction of a chunk's 320 ms on one core of a processor; we trained it in simulation and
ship it. ``calvin`` has the published widths (arXiv 2603.16195) and every setting with which published
checkpoints reproduce the published evaluation on CALVIN. ``cobot`` has the same widths for the dual-arm
Cobot, a longer horizon, and where published training and evaluation contradict each other it keeps to the
training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

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

TINY = SvamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=128,
        block_widths=(16, 32, 32, 32),
        layers_per_block=1,
        latent_channels=16,
        norm_groups=8,
        latent_scale=1.0,
    ),
    text=TextConfig(
        vocabulary_size=64,
        width=64,
        mlp_width=128,
        layers=2,
        heads=2,
        goal_width=64,
        bos_id=0,
        eos_id=1,
        pad_id=2,
        length=20,
        max_positions=20,
        add_positions=False,
    ),
    backbone=BackboneConfig(
        block_widths=(32, 64, 64, 64),
        heads=(1, 1, 1, 1),
        attention_levels=(False, False, True, False),
        layers_per_block=1,
        frames=2,
        time_id_width=32,
        frames_per_second_id=4.0,
        motion_bucket_id=127.0,
        noise_augmentation_id=0.0,
    ),
    references=ReferenceConfig(
        image_size=128,
        patch_size=16,
        resize="bilinear",
        normalization="minus_one_to_one",
        semantic=SemanticReferenceConfig(width=192, layers=4, heads=4, registers=4),
        geometric=GeometricReferenceConfig(
            width=192, layers=4, heads=4, alternate_from=2, qk_norm_from=2, rotary_from=2
        ),
    ),
    semantic_decoupler=DecouplerConfig(width=128, layers=1, heads=4, dropout=0.0),
    geometric_decoupler=DecouplerConfig(width=128, layers=1, heads=4, dropout=0.0),
    uni_perceiver=UniPerceiverConfig(
        width=128, hidden_width=256, layers=3, heads=4, head_width=32, latents_per_frame=12
    ),
    action_expert=ActionExpertConfig(
        action_dim=14,
        pred_horizon=16,
        width=128,
        hidden_width=256,
        encoder_layers=2,
        decoder_layers=2,
        heads=4,
        proprioception=False,
        sigma_data=0.5,
        sigma_min=0.02,
        sigma_max=80.0,
        sampler_steps=10,
        attention_dropout=0.0,
        residual_dropout=0.0,
        mlp_dropout=0.0,
    ),
    exec_horizon=8,
)
"""Small enough for 25 Hz on one core of a laptop; trained by us in simulation and shipped."""

_PUBLISHED_DECOUPLER = DecouplerConfig(width=1024, layers=4, heads=8, dropout=0.1)

CALVIN = SvamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=256,
        block_widths=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        norm_groups=32,
        latent_scale=0.18215,
    ),
    text=TextConfig(
        vocabulary_size=49408,
        width=512,
        mlp_width=2048,
        layers=12,
        heads=8,
        goal_width=512,
        bos_id=49406,
        eos_id=49407,
        pad_id=49407,
        length=20,
        max_positions=77,
        add_positions=False,
    ),
    backbone=BackboneConfig(
        block_widths=(320, 640, 1280, 1280),
        heads=(5, 10, 20, 20),
        attention_levels=(True, True, True, False),
        layers_per_block=2,
        frames=16,
        time_id_width=256,
        frames_per_second_id=4.0,
        motion_bucket_id=127.0,
        noise_augmentation_id=0.0,
    ),
    references=ReferenceConfig(
        image_size=224,
        patch_size=14,
        resize="bilinear",
        normalization="minus_one_to_one",
        semantic=SemanticReferenceConfig(width=768, layers=12, heads=12, registers=4),
        geometric=GeometricReferenceConfig(
            width=1024, layers=12, heads=16, alternate_from=8, qk_norm_from=8, rotary_from=8
        ),
    ),
    semantic_decoupler=_PUBLISHED_DECOUPLER,
    geometric_decoupler=_PUBLISHED_DECOUPLER,
    uni_perceiver=UniPerceiverConfig(
        width=384, hidden_width=768, layers=6, heads=8, head_width=64, latents_per_frame=14
    ),
    action_expert=ActionExpertConfig(
        action_dim=7,
        pred_horizon=10,
        width=384,
        hidden_width=768,
        encoder_layers=4,
        decoder_layers=4,
        heads=8,
        proprioception=False,
        sigma_data=0.5,
        sigma_min=1.0,
        sigma_max=80.0,
        sampler_steps=10,
        attention_dropout=0.3,
        residual_dropout=0.1,
        mlp_dropout=0.05,
    ),
    exec_horizon=10,
)
"""The published network with the settings of its evaluation on CALVIN: 7 relative actions, 10 executed."""

COBOT = replace(
    CALVIN,
    backbone=replace(CALVIN.backbone, frames_per_second_id=7.0),
    references=replace(CALVIN.references, resize="bicubic_antialias", normalization="imagenet"),
    action_expert=replace(CALVIN.action_expert, action_dim=14, pred_horizon=16, sigma_min=0.001),
    exec_horizon=8,
)
"""Published widths for two 6-joint arms with grippers: 16 actions predicted, 8 executed. Its action head has
to be trained.

Text positions are off, as in our own fine-tuning of the video model; a backbone of the published real-robot
fine-tuning was trained with them and needs ``text.add_positions``."""

COBOT_PROPRIOCEPTION = replace(COBOT, action_expert=replace(COBOT.action_expert, proprioception=True))
"""``cobot`` with the measured joints as one more token of the action expert. No published weights fit it: the
published token is 8 wide and was never trained."""

PRESETS: dict[str, SvamConfig] = {
    "tiny": TINY,
    "calvin": CALVIN,
    "cobot": COBOT,
    "cobot_proprioception": COBOT_PROPRIOCEPTION,
}
"""Configurations by name."""

PresetName = Literal["tiny", "calvin", "cobot", "cobot_proprioception"]
"""Names of :data:`PRESETS`, for settings that take no other."""
