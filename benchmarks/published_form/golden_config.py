"""The sizes of a golden set's network: widths and depths from shapes, heads from its config."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.published_form.golden_set import GoldenSet
from benchmarks.published_form.groups import PublishedSizes
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
from svam_ros.networks.presets import CALVIN

GroupShapes = Mapping[str, Sequence[int]]

REFERENCE_IMAGE_SIZE = 224
"""Pixels of the image that ``modules`` sets show to Depth Anything 3, whatever their feature grid is."""

PERCEIVER_HEADS = 8
EXPERT_HEADS = 8
"""Heads leave no trace in the shapes; these two are the same in every published network."""


def published_sizes(golden_set: GoldenSet) -> PublishedSizes:
    """Sizes of the network that a golden set was made with.

    Raises:
        ConfigError: the set's sizes contradict one another.
        KeyError: the manifest lacks a group or an entry of its config.
    """
    references = golden_set.shapes["da3_backbone"]
    return PublishedSizes(
        network=_network(golden_set),
        geometric_depth=count_blocks(references, r"blocks\.(\d+)\."),
        position_grid=math.isqrt(references["pos_embed"][1] - 1),
        state_width=golden_set.shapes["model"]["inner_model.proprio_emb.0.weight"][1],
    )


def for_reference_image(config: SvamConfig) -> SvamConfig:
    """The same widths with a grid of 16, which a reference image of 224 pixels has."""
    scale = REFERENCE_IMAGE_SIZE // config.references.patch_size / config.grid
    return dataclasses.replace(
        config,
        image_encoder=dataclasses.replace(
            config.image_encoder, image_size=round(config.image_encoder.image_size * scale)
        ),
        references=dataclasses.replace(config.references, image_size=REFERENCE_IMAGE_SIZE),
    )


def count_blocks(names: Iterable[str], pattern: str) -> int:
    """One more than the largest number that the pattern's group catches in a name."""
    return 1 + max(int(found[1]) for name in names if (found := re.match(pattern, name)))


def _network(golden_set: GoldenSet) -> SvamConfig:
    config, shapes = golden_set.config, golden_set.shapes
    decouplers = config["decoupler"] if golden_set.is_end_to_end else config
    expert = _action_expert(shapes["model"], config)
    return SvamConfig(
        image_encoder=_image_encoder(shapes, int(config["grid"])),
        text=_text(golden_set),
        backbone=_backbone(shapes["unet"], config),
        references=_references(golden_set),
        semantic_decoupler=_decoupler(shapes["hidden2dino"], decouplers["heads"]),
        geometric_decoupler=_decoupler(shapes["hidden2dpa"], decouplers["heads"]),
        uni_perceiver=_uni_perceiver(shapes["Video_Former"]),
        action_expert=expert,
        exec_horizon=min(CALVIN.exec_horizon, expert.pred_horizon),
    )


def _image_encoder(shapes: Mapping[str, GroupShapes], grid: int) -> ImageEncoderConfig:
    latent_size = 2 * grid
    published = CALVIN.image_encoder
    if "vae" not in shapes:
        levels = len(published.block_widths)
        return dataclasses.replace(
            published, image_size=latent_size * 2 ** (levels - 1), block_widths=(32,) * levels
        )
    vae = shapes["vae"]
    widths = tuple(
        vae[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0]
        for level in range(count_blocks(vae, r"encoder\.down_blocks\.(\d+)\."))
    )
    return dataclasses.replace(
        published,
        image_size=latent_size * 2 ** (len(widths) - 1),
        block_widths=widths,
        layers_per_block=count_blocks(vae, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        latent_channels=vae["quant_conv.weight"][0] // 2,
    )


def _text(golden_set: GoldenSet) -> TextConfig:
    published = CALVIN.text
    attended = golden_set.shapes["unet"]["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"][1]
    goal_width = golden_set.shapes["model"]["inner_model.lang_emb.0.weight"][1]
    if not golden_set.is_end_to_end:
        return dataclasses.replace(
            published, width=attended // 2, mlp_width=8, layers=1, heads=1, goal_width=goal_width
        )
    shapes, config = golden_set.shapes["text_encoder"], golden_set.config["text_encoder"]
    ids = golden_set.manifest["token_ids"]["text_token_ids"][0]
    vocabulary_size, width = shapes["text_model.embeddings.token_embedding.weight"]
    return TextConfig(
        vocabulary_size=vocabulary_size,
        width=width,
        mlp_width=shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        layers=count_blocks(shapes, r"text_model\.encoder\.layers\.(\d+)\."),
        heads=config["num_attention_heads"],
        goal_width=goal_width,
        bos_id=config["bos_token_id"],
        eos_id=config["eos_token_id"],
        pad_id=ids[-1],
        length=len(ids),
        max_positions=shapes["text_model.embeddings.position_embedding.weight"][0],
        add_positions=False,
    )


def _backbone(unet: GroupShapes, config: Mapping[str, Any]) -> BackboneConfig:
    levels = range(count_blocks(unet, r"down_blocks\.(\d+)\."))
    heads = config["unet"]["num_attention_heads"]
    return dataclasses.replace(
        CALVIN.backbone,
        block_widths=tuple(
            unet[f"down_blocks.{level}.resnets.0.spatial_res_block.conv1.weight"][0] for level in levels
        ),
        heads=(heads,) * len(levels) if isinstance(heads, int) else tuple(heads),
        attention_levels=tuple(f"down_blocks.{level}.attentions.0.norm.weight" in unet for level in levels),
        layers_per_block=count_blocks(unet, r"down_blocks\.0\.resnets\.(\d+)\."),
        frames=int(config["frames"]),
        time_id_width=unet["add_embedding.linear_1.weight"][1] // 3,
    )


def _references(golden_set: GoldenSet) -> ReferenceConfig:
    config, shapes = golden_set.config, golden_set.shapes
    depth_anything = config["da3"]
    stages = config["da3_blocks" if golden_set.is_end_to_end else "da3_out"]
    patch_size = shapes["da3_backbone"]["patch_embed.proj.weight"][-1]
    return dataclasses.replace(
        CALVIN.references,
        image_size=int(config["grid"]) * patch_size,
        patch_size=patch_size,
        normalization="minus_one_to_one",
        semantic=_semantic_reference(golden_set),
        geometric=GeometricReferenceConfig(
            width=shapes["da3_backbone"]["cls_token"][-1],
            layers=stages[0] + 1,
            heads=depth_anything["num_heads"],
            alternate_from=depth_anything["alt_start"],
            qk_norm_from=depth_anything["qknorm_start"],
            rotary_from=depth_anything["rope_start"],
        ),
    )


def _semantic_reference(golden_set: GoldenSet) -> SemanticReferenceConfig:
    if not golden_set.is_end_to_end:  # the encoder itself is not in the set
        width = golden_set.shapes["hidden2dino"]["adapter.weight"][1]
        return SemanticReferenceConfig(width=width, layers=1, heads=1, registers=4)
    shapes = golden_set.shapes["dinov2"]
    return SemanticReferenceConfig(
        width=shapes["cls_token"][-1],
        layers=count_blocks(shapes, r"blocks\.(\d+)\."),
        heads=golden_set.config["dinov2"]["num_heads"],
        registers=shapes["register_tokens"][1],
    )


def _decoupler(shapes: GroupShapes, heads: int) -> DecouplerConfig:
    return DecouplerConfig(
        width=shapes["base_model.input_proj.weight"][0],
        layers=count_blocks(shapes, r"base_model\.blocks\.(\d+)\."),
        heads=heads,
        dropout=0.1,
    )


def _uni_perceiver(shapes: GroupShapes) -> UniPerceiverConfig:
    _, latents_per_frame, width = shapes["latents"]
    return UniPerceiverConfig(
        width=width,
        hidden_width=shapes["goal_emb.0.weight"][0],
        layers=count_blocks(shapes, r"layers\.(\d+)\."),
        heads=PERCEIVER_HEADS,
        head_width=shapes["layers.0.0.to_q.weight"][0] // PERCEIVER_HEADS,
        latents_per_frame=latents_per_frame,
    )


def _action_expert(shapes: GroupShapes, config: Mapping[str, Any]) -> ActionExpertConfig:
    width, action_dim = shapes["inner_model.action_emb.weight"]
    return dataclasses.replace(
        CALVIN.action_expert,
        action_dim=action_dim,
        pred_horizon=int(config["chunk"] if "chunk" in config else config["alen"]),
        width=width,
        hidden_width=shapes["inner_model.sigma_emb.1.weight"][0],
        encoder_layers=count_blocks(shapes, r"inner_model\.encoder\.blocks\.(\d+)\."),
        decoder_layers=count_blocks(shapes, r"inner_model\.decoder\.blocks\.(\d+)\."),
        heads=EXPERT_HEADS,
        proprioception=False,
        sigma_min=float(config.get("sigma_min", 1.0)),
        sigma_max=float(config.get("sigma_max", 80.0)),
        sampler_steps=int(config.get("steps", 10)),
    )
