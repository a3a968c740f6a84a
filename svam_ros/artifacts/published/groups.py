"""The nine parts of published checkpoints and where each of our tensors comes from.

Facts only. Left: our names; right: published names. A part is complete: a tensor of ours that no rule
makes is a mistake in these tables, a published tensor that neither a rule nor ``unused`` names is
refused.
"""

from __future__ import annotations

from svam_ros.artifacts.published.name_rules import Group, Rule, Unused, parameters
from svam_ros.artifacts.published.position_tables import resize_geometric, resize_semantic
from svam_ros.artifacts.published.transforms import (
    FirstView,
    Joined,
    Part,
    PointwiseConvolution,
    ResizedPositions,
)
from svam_ros.networks.config import SvamConfig

DEEPEST_GEOMETRIC_ENCODER = 40
"""Blocks of the largest backbone that Depth Anything 3 was published with."""

JOINED = Joined()


def _nothing_unused(_config: SvamConfig) -> tuple[Unused, ...]:
    return ()


# -- video backbone: diffusers' names, except that the head is not there ---------------------------

_AFTER_FEATURES = "runs after the features are taken (second up block): for predicting video only"


def _unused_in_unet(config: SvamConfig) -> tuple[Unused, ...]:
    levels = len(config.backbone.block_widths)
    late = tuple(Unused(f"up_blocks.{level}.**", _AFTER_FEATURES) for level in range(2, levels))
    return (*late, Unused("conv_norm_out.*", _AFTER_FEATURES), Unused("conv_out.*", _AFTER_FEATURES))


UNET = Group("video backbone", "video_backbone.", (Rule("video_backbone.**", ("{}",)),), _unused_in_unet)

# -- image and text encoders -----------------------------------------------------------------------


def _unused_in_vae(_config: SvamConfig) -> tuple[Unused, ...]:
    return (Unused("decoder.**", "the policy never decodes latents to pictures"),)


VAE = Group("image encoder", "image_encoder.", (Rule("image_encoder.**", ("{}",)),), _unused_in_vae)


def _unused_in_text_encoder(_config: SvamConfig) -> tuple[Unused, ...]:
    return (Unused("text_model.embeddings.position_ids", "counts from 0; newer libraries do not store it"),)


TEXT_ENCODER = Group(
    "text encoder",
    "text_encoder.clip.",
    (Rule("text_encoder.clip.**", ("{}",)),),
    _unused_in_text_encoder,
)

# -- reference encoders ----------------------------------------------------------------------------

_DINO = "semantic_reference.dino"
_DINO_LAYER = f"{_DINO}.encoder.layer.*"


def _unused_in_dinov2(_config: SvamConfig) -> tuple[Unused, ...]:
    return (Unused("mask_token", "for masked pre-training only"),)


DINOV2 = Group(
    "semantic reference (DINOv2)",
    f"{_DINO}.",
    (
        Rule(f"{_DINO}.embeddings.cls_token", ("cls_token",)),
        Rule(f"{_DINO}.embeddings.register_tokens", ("register_tokens",)),
        Rule(f"{_DINO}.embeddings.position_embeddings", ("pos_embed",), ResizedPositions(resize_semantic)),
        parameters(f"{_DINO}.embeddings.patch_embeddings.projection", "patch_embed.proj"),
        parameters(f"{_DINO_LAYER}.norm1", "blocks.{}.norm1"),
        parameters(f"{_DINO_LAYER}.attention.q_proj", "blocks.{}.attn.qkv", how=Part(0, 3)),
        parameters(f"{_DINO_LAYER}.attention.k_proj", "blocks.{}.attn.qkv", how=Part(1, 3)),
        parameters(f"{_DINO_LAYER}.attention.v_proj", "blocks.{}.attn.qkv", how=Part(2, 3)),
        parameters(f"{_DINO_LAYER}.attention.o_proj", "blocks.{}.attn.proj"),
        Rule(f"{_DINO_LAYER}.layer_scale1.lambda1", ("blocks.{}.ls1.gamma",)),
        parameters(f"{_DINO_LAYER}.norm2", "blocks.{}.norm2"),
        parameters(f"{_DINO_LAYER}.mlp.fc1", "blocks.{}.mlp.fc1"),
        parameters(f"{_DINO_LAYER}.mlp.fc2", "blocks.{}.mlp.fc2"),
        Rule(f"{_DINO_LAYER}.layer_scale2.lambda1", ("blocks.{}.ls2.gamma",)),
        parameters(f"{_DINO}.layernorm", "norm"),
    ),
    _unused_in_dinov2,
)

_GEO = "geometric_reference"
_GEO_BLOCK = f"{_GEO}.blocks.*"


def _unused_in_da3(config: SvamConfig) -> tuple[Unused, ...]:
    first = config.references.geometric.layers
    reason = f"only the first output stage is used: it ends with block {first - 1}"
    late = (Unused(f"blocks.{n}.**", reason) for n in range(first, DEEPEST_GEOMETRIC_ENCODER))
    return (*late, Unused("mask_token", "for masked pre-training only"))


DA3_BACKBONE = Group(
    "geometric reference (Depth Anything 3)",
    f"{_GEO}.",
    (
        Rule(f"{_GEO}.class_token", ("cls_token",)),
        Rule(f"{_GEO}.camera_token", ("camera_token",), FirstView()),
        Rule(f"{_GEO}.positions", ("pos_embed",), ResizedPositions(resize_geometric)),
        parameters(f"{_GEO}.patch_embedding", "patch_embed.proj"),
        parameters(f"{_GEO_BLOCK}.attention_norm", "blocks.{}.norm1"),
        parameters(f"{_GEO_BLOCK}.attention.qkv", "blocks.{}.attn.qkv"),
        parameters(f"{_GEO_BLOCK}.attention.query_norm", "blocks.{}.attn.q_norm"),
        parameters(f"{_GEO_BLOCK}.attention.key_norm", "blocks.{}.attn.k_norm"),
        parameters(f"{_GEO_BLOCK}.attention.output", "blocks.{}.attn.proj"),
        Rule(f"{_GEO_BLOCK}.attention_scale", ("blocks.{}.ls1.gamma",)),
        parameters(f"{_GEO_BLOCK}.mlp_norm", "blocks.{}.norm2"),
        parameters(f"{_GEO_BLOCK}.mlp.expand", "blocks.{}.mlp.fc1"),
        parameters(f"{_GEO_BLOCK}.mlp.contract", "blocks.{}.mlp.fc2"),
        Rule(f"{_GEO_BLOCK}.mlp_scale", ("blocks.{}.ls2.gamma",)),
        parameters(f"{_GEO}.norm", "norm"),
    ),
    _unused_in_da3,
)

# -- foresight decouplers --------------------------------------------------------------------------


def _decoupler_rules(ours: str) -> tuple[Rule, ...]:
    block = f"{ours}.blocks.*"
    along = tuple(
        rule
        for axis in ("spatial", "temporal")
        for rule in (
            parameters(f"{block}.{axis}_norm", f"base_model.blocks.{{}}.{axis}_norm1"),
            # torch's MultiheadAttention writes in_proj_weight, not in_proj.weight
            Rule(f"{block}.{axis}_attention.qkv.*", (f"base_model.blocks.{{}}.{axis}_attn.in_proj_{{}}",)),
            parameters(f"{block}.{axis}_attention.output", f"base_model.blocks.{{}}.{axis}_attn.out_proj"),
            parameters(f"{block}.{axis}_mlp_norm", f"base_model.blocks.{{}}.{axis}_norm2"),
            parameters(f"{block}.{axis}_mlp.expand", f"base_model.blocks.{{}}.{axis}_mlp.0"),
            parameters(f"{block}.{axis}_mlp.contract", f"base_model.blocks.{{}}.{axis}_mlp.3"),
        )
    )
    return (
        Rule(f"{ours}.adapter.weight", ("adapter.weight",), PointwiseConvolution()),
        Rule(f"{ours}.adapter.bias", ("adapter.bias",)),
        parameters(f"{ours}.input_norm", "base_model.input_norm"),
        parameters(f"{ours}.input_projection", "base_model.input_proj"),
        *along,
        parameters(f"{ours}.output_norm", "base_model.output_norm"),
        parameters(f"{ours}.output_projection", "base_model.output_proj"),
    )


HIDDEN2DINO = Group(
    "semantic decoupler", "semantic_decoupler.", _decoupler_rules("semantic_decoupler"), _nothing_unused
)
HIDDEN2DPA = Group(
    "geometric decoupler", "geometric_decoupler.", _decoupler_rules("geometric_decoupler"), _nothing_unused
)

# -- Uni-Perceiver ---------------------------------------------------------------------------------

_LAYER = "uni_perceiver.layers.*"

VIDEO_FORMER = Group(
    "Uni-Perceiver",
    "uni_perceiver.",
    (
        Rule("uni_perceiver.latents", ("latents",)),
        Rule("uni_perceiver.frame_positions", ("time_pos_emb",)),
        parameters("uni_perceiver.embedding.hidden", "goal_emb.0"),
        parameters("uni_perceiver.embedding.output", "goal_emb.2"),
        parameters(f"{_LAYER}.resampling.token_norm", "layers.{}.0.norm_media"),
        parameters(f"{_LAYER}.resampling.latent_norm", "layers.{}.0.norm_latents"),
        parameters(f"{_LAYER}.resampling.query", "layers.{}.0.to_q"),
        parameters(f"{_LAYER}.resampling.key_value", "layers.{}.0.to_k", "layers.{}.0.to_v", how=JOINED),
        parameters(f"{_LAYER}.resampling.output", "layers.{}.0.to_out"),
        parameters(f"{_LAYER}.temporal_attention.qkv", "layers.{}.1.qkv"),
        parameters(f"{_LAYER}.temporal_attention.output", "layers.{}.1.proj"),
        parameters(f"{_LAYER}.mlp_norm", "layers.{}.2.0"),
        parameters(f"{_LAYER}.mlp.expand", "layers.{}.2.1"),
        parameters(f"{_LAYER}.mlp.contract", "layers.{}.2.3"),
        parameters("uni_perceiver.output_norm", "norm"),
    ),
    _nothing_unused,
)

# -- action expert ---------------------------------------------------------------------------------

_QUERY_KEY_VALUE = ("query", "key", "value")


def _action_block_rules(ours: str, published: str, attention: str, norm: str) -> tuple[Rule, ...]:
    """What encoder and decoder blocks have in common."""
    projections = (f"{published}.attn.{name}" for name in _QUERY_KEY_VALUE)
    return (
        parameters(f"{ours}.{norm}", f"{published}.ln_1"),
        parameters(f"{ours}.{attention}.qkv", *projections, how=JOINED),
        parameters(f"{ours}.{attention}.output", f"{published}.attn.c_proj"),
        parameters(f"{ours}.mlp_norm", f"{published}.ln_2"),
        parameters(f"{ours}.mlp.expand", f"{published}.mlp.c_fc"),
        parameters(f"{ours}.mlp.contract", f"{published}.mlp.c_proj"),
    )


_ENCODER, _DECODER = "inner_model.encoder.blocks.{}", "inner_model.decoder.blocks.{}"
_OUR_ENCODER, _OUR_DECODER = "action_expert.encoder.*", "action_expert.decoder.*"


def _unused_in_action_model(config: SvamConfig) -> tuple[Unused, ...]:
    unused = (
        Unused("inner_model.pos_emb", "frozen and never added: the published expert has no positions"),
        Unused("inner_model.goal_emb.*.*", "for goals that are images; instructions go through lang_emb"),
    )
    if config.action_expert.proprioception:
        return unused
    return (*unused, Unused("inner_model.proprio_emb.*.*", "never trained; this network takes no joints"))


MODEL = Group(
    "action expert",
    "action_expert.",
    (
        parameters("action_expert.goal_embedding.hidden", "inner_model.lang_emb.0"),
        parameters("action_expert.goal_embedding.output", "inner_model.lang_emb.2"),
        parameters("action_expert.context_embedding", "inner_model.tok_emb"),
        parameters("action_expert.joint_embedding.hidden", "inner_model.proprio_emb.0"),
        parameters("action_expert.joint_embedding.output", "inner_model.proprio_emb.2"),
        *_action_block_rules(_OUR_ENCODER, _ENCODER, "attention", "attention_norm"),
        parameters("action_expert.encoder_norm", "inner_model.encoder.ln"),
        parameters("action_expert.sigma_hidden", "inner_model.sigma_emb.1"),
        parameters("action_expert.sigma_output", "inner_model.sigma_emb.3"),
        parameters("action_expert.action_embedding", "inner_model.action_emb"),
        *_action_block_rules(_OUR_DECODER, _DECODER, "self_attention", "self_norm"),
        parameters(f"{_OUR_DECODER}.modulation", f"{_DECODER}.adaLN_zero.modulation.1"),
        parameters(f"{_OUR_DECODER}.cross_norm", f"{_DECODER}.ln3"),
        parameters(f"{_OUR_DECODER}.cross_attention.query", f"{_DECODER}.cross_att.query"),
        parameters(
            f"{_OUR_DECODER}.cross_attention.key_value",
            f"{_DECODER}.cross_att.key",
            f"{_DECODER}.cross_att.value",
            how=JOINED,
        ),
        parameters(f"{_OUR_DECODER}.cross_attention.output", f"{_DECODER}.cross_att.c_proj"),
        parameters("action_expert.decoder_norm", "inner_model.decoder.ln"),
        parameters("action_expert.action_prediction", "inner_model.action_pred"),
    ),
    _unused_in_action_model,
)

GROUPS: dict[str, Group] = {
    "unet": UNET,
    "vae": VAE,
    "text_encoder": TEXT_ENCODER,
    "dinov2": DINOV2,
    "da3_backbone": DA3_BACKBONE,
    "hidden2dino": HIDDEN2DINO,
    "hidden2dpa": HIDDEN2DPA,
    "Video_Former": VIDEO_FORMER,
    "model": MODEL,
}
"""By the names that the published code has for them."""
