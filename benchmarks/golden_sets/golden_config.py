"""The sizes of a golden set's network: widths and depths from shapes, heads from its config."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.golden_sets.golden_set import GoldenSet, GoldenSetError
from benchmarks.golden_sets.golden_settings import check_settings, first_block, number, section
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
from svam_ros.networks.published_form.groups import GivenReferences, PublishedSizes

GroupShapes = Mapping[str, Sequence[int]]

REFERENCE_IMAGE_SIZE = 224
"""Pixels of the image that ``modules`` sets show to Depth Anything 3, whatever their feature grid is."""

PATCH_SIZE = 14
"""Where a set has no encoder of references."""

PERCEIVER_HEADS = 8
EXPERT_HEADS = 8
"""As published; heads leave no trace in the shapes. Manifests may say ``vf_heads`` and ``expert_heads``."""


def published_sizes(golden_set: GoldenSet) -> PublishedSizes:
    """Sizes of the network that a golden set was made with.

    Both the published form and ours are built from these, so comparing the two says nothing about a size
    that is read wrongly. Three things do: state dicts are loaded with every name and shape of the manifest
    (widths, depths); goldens that others made (heads, and all else that leaves no trace in shapes); and
    ``tests/parity/test_random_sizes.py``, where sizes become a manifest and must be read back as they were.

    Raises:
        ConfigError: the set's sizes contradict one another.
        GoldenSetError: the manifest lacks something, or asks for what was never published.
    """
    check_settings(golden_set)
    try:
        return _sizes(golden_set)
    except KeyError as error:
        raise GoldenSetError(f"{golden_set.path}: the manifest has no {error}") from error


def _sizes(golden_set: GoldenSet) -> PublishedSizes:
    shapes = golden_set.shapes
    depth_anything, dinov2 = shapes.get("da3_backbone"), shapes.get("dinov2")
    state_embedding = shapes["model"].get("inner_model.proprio_emb.0.weight")
    sizes = PublishedSizes(_network(golden_set), state_width=state_embedding[1] if state_embedding else None)
    if dinov2:
        sizes = dataclasses.replace(sizes, semantic_position_grid=_position_grid(dinov2))
    if depth_anything:
        sizes = dataclasses.replace(
            sizes,
            geometric_depth=count_blocks(depth_anything, r"blocks\.(\d+)\."),
            geometric_position_grid=_position_grid(depth_anything),
        )
    return sizes


def _position_grid(encoder: GroupShapes) -> int:
    return math.isqrt(encoder["pos_embed"][1] - 1)


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
    """One more than the largest number that the pattern's group catches in a name.

    Raises:
        KeyError: no name begins as the pattern says.
    """
    numbers = [int(found[1]) for name in names if (found := re.match(pattern, name))]
    if not numbers:
        raise KeyError(pattern)
    return 1 + max(numbers)


def _network(golden_set: GoldenSet) -> SvamConfig:
    shapes = golden_set.shapes
    decouplers = section(golden_set, "decoupler") if golden_set.is_end_to_end else golden_set.config
    heads = int(decouplers.get("heads", CALVIN.semantic_decoupler.heads))
    expert = _action_expert(golden_set)
    return SvamConfig(
        image_encoder=_image_encoder(shapes, number(golden_set, "grid")),
        text=_text(golden_set),
        backbone=_backbone(golden_set),
        references=_references(golden_set),
        semantic_decoupler=_decoupler(shapes["hidden2dino"], heads),
        geometric_decoupler=_decoupler(shapes["hidden2dpa"], heads),
        uni_perceiver=_uni_perceiver(golden_set),
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
    shapes, config = golden_set.shapes["text_encoder"], section(golden_set, "text_encoder")
    ids = golden_set.manifest["token_ids"]["text_token_ids"][0]
    vocabulary_size, width = shapes["text_model.embeddings.token_embedding.weight"]
    return TextConfig(
        vocabulary_size=vocabulary_size,
        width=width,
        mlp_width=shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        layers=count_blocks(shapes, r"text_model\.encoder\.layers\.(\d+)\."),
        heads=int(config.get("num_attention_heads", published.heads)),
        goal_width=goal_width,
        bos_id=int(config.get("bos_token_id", published.bos_id)),
        eos_id=int(config.get("eos_token_id", published.eos_id)),
        pad_id=ids[-1],
        length=len(ids),
        max_positions=shapes["text_model.embeddings.position_embedding.weight"][0],
        add_positions=bool(golden_set.config.get("text_positions", False)),
    )


def _backbone(golden_set: GoldenSet) -> BackboneConfig:
    unet = golden_set.shapes["unet"]
    levels = range(count_blocks(unet, r"down_blocks\.(\d+)\."))
    heads = section(golden_set, "unet").get("num_attention_heads", CALVIN.backbone.heads)
    return dataclasses.replace(
        CALVIN.backbone,
        block_widths=tuple(
            unet[f"down_blocks.{level}.resnets.0.spatial_res_block.conv1.weight"][0] for level in levels
        ),
        heads=(heads,) * len(levels) if isinstance(heads, int) else tuple(heads),
        attention_levels=tuple(f"down_blocks.{level}.attentions.0.norm.weight" in unet for level in levels),
        layers_per_block=count_blocks(unet, r"down_blocks\.0\.resnets\.(\d+)\."),
        frames=number(golden_set, "frames"),
        time_id_width=unet["add_embedding.linear_1.weight"][1] // 3,
    )


def _references(golden_set: GoldenSet) -> ReferenceConfig:
    """In ``modules`` sets the decouplers' references are inputs, with widths of their own."""
    shapes = golden_set.shapes
    patch_size = (
        shapes["da3_backbone"]["patch_embed.proj.weight"][-1] if "da3_backbone" in shapes else PATCH_SIZE
    )
    config = dataclasses.replace(
        CALVIN.references,
        image_size=number(golden_set, "grid") * patch_size,
        patch_size=patch_size,
        normalization=golden_set.config.get("reference_images", "minus_one_to_one"),
        semantic=_semantic_reference(golden_set),
        geometric=_geometric_reference(golden_set),
    )
    width = shapes["hidden2dpa"]["adapter.weight"][1]
    if not golden_set.is_end_to_end:
        parts = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        return GivenReferences(**parts, given_geometric_width=width)
    for name, wanted, found in (
        ("hidden2dino", config.semantic.width, shapes["hidden2dino"]["adapter.weight"][1]),
        ("hidden2dpa", config.geometric_width, width),
    ):
        if found != wanted:
            raise GoldenSetError(
                f"{golden_set.path}: {name} takes references {found} wide, its encoder gives {wanted}"
            )
    return config


def _semantic_reference(golden_set: GoldenSet) -> SemanticReferenceConfig:
    if not golden_set.is_end_to_end:  # the encoder itself is not in the set
        width = golden_set.shapes["hidden2dino"]["adapter.weight"][1]
        return SemanticReferenceConfig(width=width, layers=1, heads=1, registers=4)
    shapes, published = golden_set.shapes["dinov2"], CALVIN.references.semantic
    return SemanticReferenceConfig(
        width=shapes["cls_token"][-1],
        layers=count_blocks(shapes, r"blocks\.(\d+)\."),
        heads=int(section(golden_set, "dinov2").get("num_heads", published.heads)),
        registers=shapes["register_tokens"][1],
    )


def _geometric_reference(golden_set: GoldenSet) -> GeometricReferenceConfig:
    published = CALVIN.references.geometric
    if "da3_backbone" not in golden_set.shapes:  # nothing of the set is computed with it
        return published
    shapes = golden_set.shapes["da3_backbone"]
    depth = count_blocks(shapes, r"blocks\.(\d+)\.")
    stages = golden_set.config.get(
        "da3_blocks" if golden_set.is_end_to_end else "da3_out", (published.layers - 1,)
    )
    return GeometricReferenceConfig(
        width=shapes["cls_token"][-1],
        layers=stages[0] + 1,
        heads=int(section(golden_set, "da3").get("num_heads", published.heads)),
        alternate_from=first_block(golden_set, "alt_start", published.alternate_from, depth),
        qk_norm_from=first_block(golden_set, "qknorm_start", published.qk_norm_from, depth),
        rotary_from=first_block(golden_set, "rope_start", published.rotary_from, depth),
    )


def _decoupler(shapes: GroupShapes, heads: int) -> DecouplerConfig:
    return DecouplerConfig(
        width=shapes["base_model.input_proj.weight"][0],
        layers=count_blocks(shapes, r"base_model\.blocks\.(\d+)\."),
        heads=heads,
        dropout=0.1,
    )


def _uni_perceiver(golden_set: GoldenSet) -> UniPerceiverConfig:
    shapes = golden_set.shapes["Video_Former"]
    heads = int(golden_set.config.get("vf_heads", PERCEIVER_HEADS))
    _, latents_per_frame, width = shapes["latents"]
    return UniPerceiverConfig(
        width=width,
        hidden_width=shapes["goal_emb.0.weight"][0],
        layers=count_blocks(shapes, r"layers\.(\d+)\."),
        heads=heads,
        head_width=shapes["layers.0.0.to_q.weight"][0] // heads,
        latents_per_frame=latents_per_frame,
    )


def _action_expert(golden_set: GoldenSet) -> ActionExpertConfig:
    shapes, config = golden_set.shapes["model"], golden_set.config
    width, action_dim = shapes["inner_model.action_emb.weight"]
    return dataclasses.replace(
        CALVIN.action_expert,
        action_dim=action_dim,
        pred_horizon=number(golden_set, "chunk", "alen"),
        width=width,
        hidden_width=shapes["inner_model.sigma_emb.1.weight"][0],
        encoder_layers=count_blocks(shapes, r"inner_model\.encoder\.blocks\.(\d+)\."),
        decoder_layers=count_blocks(shapes, r"inner_model\.decoder\.blocks\.(\d+)\."),
        heads=int(config.get("expert_heads", EXPERT_HEADS)),
        proprioception=False,
        sigma_min=float(config.get("sigma_min", 1.0)),
        sigma_max=float(config.get("sigma_max", 80.0)),
        sampler_steps=int(config.get("steps", 10)),
    )
