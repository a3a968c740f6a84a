"""Checkpoints in every published format, at tiny widths: names written out here, weights from a seed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from support.networks import CONFIG
from svam_ros.artifacts.published.importing import PublishedFiles
from svam_ros.networks.config import ImageEncoderConfig, SvamConfig

PUBLISHED = dataclasses.replace(
    CONFIG,
    image_encoder=ImageEncoderConfig(
        32, (32, 32, 32, 32), 1, latent_channels=4, norm_groups=32, latent_scale=0.18215
    ),
    text=dataclasses.replace(CONFIG.text, vocabulary_size=520, bos_id=518, eos_id=519, pad_id=519),
    action_expert=dataclasses.replace(
        CONFIG.action_expert, action_dim=7, pred_horizon=5, proprioception=False, sigma_min=1.0
    ),
    exec_horizon=5,
)
"""As the published network is put together, with CALVIN's seven numbers."""

Tensors = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
TABLE = 6
"""Side of the published position tables here; the networks use a smaller grid."""


def filled(shapes: Shapes, seed: int = 0) -> Tensors:
    """Weights that depend on name, shape and seed alone."""
    tensors = {}
    for name, shape in shapes.items():
        key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "big")
        values = torch.randn(shape, generator=torch.Generator().manual_seed(key))
        scale = 0.1 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[1:]))
        tensors[name] = values * scale + (1.0 if len(shape) == 1 and name.endswith("weight") else 0.0)
    return tensors


def layer(name: str, outputs: int, *inputs: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (outputs, *inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def vision_transformer(width: int, depth: int) -> Shapes:
    """What DINOv2 and Depth Anything 3 have in common."""
    shapes: Shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + TABLE**2, width)}
    shapes |= layer("patch_embed.proj", width, 3, 14, 14) | layer("norm", width)
    for i in range(depth):
        block = f"blocks.{i}"
        shapes |= layer(f"{block}.norm1", width) | layer(f"{block}.norm2", width)
        shapes |= layer(f"{block}.attn.qkv", 3 * width, width) | layer(f"{block}.attn.proj", width, width)
        shapes |= layer(f"{block}.mlp.fc1", 4 * width, width) | layer(f"{block}.mlp.fc2", width, 4 * width)
        shapes |= {f"{block}.ls1.gamma": (width,), f"{block}.ls2.gamma": (width,)}
    return shapes


def dinov2(config: SvamConfig) -> Shapes:
    semantic = config.references.semantic
    width = semantic.width
    tokens: Shapes = {"register_tokens": (1, semantic.registers, width), "mask_token": (1, width)}
    return vision_transformer(width, semantic.layers) | tokens


def da3_backbone(config: SvamConfig) -> Shapes:
    geometric = config.references.geometric
    width, depth = geometric.width, 2 * geometric.layers
    shapes = vision_transformer(width, depth) | {"camera_token": (1, 2, width)}
    for i in range(geometric.qk_norm_from, depth):
        for name in ("q_norm", "k_norm"):
            shapes |= layer(f"blocks.{i}.attn.{name}", width // geometric.heads)
    return shapes


def decoupler(config: SvamConfig, reference: int) -> Shapes:
    width, features = config.semantic_decoupler.width, config.backbone.feature_width
    shapes = layer("adapter", features, reference, 1, 1, 1)
    shapes |= layer("base_model.input_norm", features) | layer("base_model.input_proj", width, features)
    shapes |= layer("base_model.output_norm", width) | layer("base_model.output_proj", reference, width)
    for i in range(config.semantic_decoupler.layers):
        for axis in ("spatial", "temporal"):
            name = f"base_model.blocks.{i}.{axis}"
            shapes |= layer(f"{name}_norm1", width) | layer(f"{name}_norm2", width)
            shapes |= {f"{name}_attn.in_proj_weight": (3 * width, width)}
            shapes |= {f"{name}_attn.in_proj_bias": (3 * width,)} | layer(
                f"{name}_attn.out_proj", width, width
            )
            shapes |= layer(f"{name}_mlp.0", 4 * width, width) | layer(f"{name}_mlp.3", width, 4 * width)
    return shapes


def video_former(config: SvamConfig) -> Shapes:
    perceiver, references = config.uni_perceiver, config.references
    width, inner, frames = perceiver.width, perceiver.heads * perceiver.head_width, config.backbone.frames
    inputs = config.backbone.feature_width + references.semantic.width + references.geometric_width
    shapes: Shapes = {"latents": (frames, perceiver.latents_per_frame, width)}
    shapes |= {"time_pos_emb": (frames, 1, width)} | layer("norm", width)
    shapes |= layer("goal_emb.0", perceiver.hidden_width, inputs)
    shapes |= layer("goal_emb.2", width, perceiver.hidden_width)
    for i in range(perceiver.layers):
        name = f"layers.{i}"
        shapes |= layer(f"{name}.0.norm_media", width) | layer(f"{name}.0.norm_latents", width)
        for projection in ("to_q", "to_k", "to_v"):
            shapes |= layer(f"{name}.0.{projection}", inner, width, bias=False)
        shapes |= layer(f"{name}.0.to_out", width, inner, bias=False)
        shapes |= layer(f"{name}.1.qkv", 3 * width, width) | layer(f"{name}.1.proj", width, width)
        shapes |= layer(f"{name}.2.0", width) | layer(f"{name}.2.1", 4 * width, width, bias=False)
        shapes |= layer(f"{name}.2.3", width, 4 * width, bias=False)
    return shapes


def action_model(config: SvamConfig) -> Shapes:
    expert, goal = config.action_expert, config.text.goal_width
    width, hidden, actions = expert.width, expert.hidden_width, expert.action_dim
    context = 1 + config.backbone.frames * config.uni_perceiver.latents_per_frame
    shapes: Shapes = {"pos_emb": (1, context + expert.pred_horizon, width)}
    shapes |= layer("tok_emb", width, config.uni_perceiver.width)
    for name, inputs in (("goal_emb", goal), ("lang_emb", goal), ("proprio_emb", 8)):
        shapes |= layer(f"{name}.0", hidden, inputs) | layer(f"{name}.2", width, hidden)
    shapes |= layer("sigma_emb.1", hidden, width) | layer("sigma_emb.3", width, hidden)
    shapes |= layer("action_emb", width, actions) | layer("action_pred", actions, width)
    for side, depth in (("encoder", expert.encoder_layers), ("decoder", expert.decoder_layers)):
        shapes |= layer(f"{side}.ln", width)
        del shapes[f"{side}.ln.bias"]
        for i in range(depth):
            block = f"{side}.blocks.{i}"
            shapes |= {f"{block}.ln_1.weight": (width,), f"{block}.ln_2.weight": (width,)}
            attentions = ("attn",) if side == "encoder" else ("attn", "cross_att")
            for attention in attentions:
                for name in ("query", "key", "value"):
                    shapes |= layer(f"{block}.{attention}.{name}", width, width)
                shapes |= layer(f"{block}.{attention}.c_proj", width, width, bias=False)
            shapes |= layer(f"{block}.mlp.c_fc", 4 * width, width, bias=False)
            shapes |= layer(f"{block}.mlp.c_proj", width, 4 * width, bias=False)
            if side == "decoder":
                shapes |= layer(f"{block}.ln3", width)
                shapes |= layer(f"{block}.adaLN_zero.modulation.1", 6 * width, width)
    return {f"inner_model.{name}": shape for name, shape in shapes.items()}


def unet(config: SvamConfig) -> UNetSpatioTemporalConditionModel:
    backbone = config.backbone
    kinds = ["CrossAttnDownBlock" if a else "DownBlock" for a in backbone.attention_levels]
    up = ["CrossAttnUpBlock" if a else "UpBlock" for a in reversed(backbone.attention_levels)]
    return UNetSpatioTemporalConditionModel(
        in_channels=8,
        out_channels=4,
        down_block_types=tuple(f"{kind}SpatioTemporal" for kind in kinds),
        up_block_types=tuple(f"{kind}SpatioTemporal" for kind in up),
        block_out_channels=backbone.block_widths,
        addition_time_embed_dim=backbone.time_id_width,
        projection_class_embeddings_input_dim=3 * backbone.time_id_width,
        layers_per_block=backbone.layers_per_block,
        cross_attention_dim=2 * config.text.width,
        num_attention_heads=backbone.heads,
        num_frames=backbone.frames,
    )


def vae(config: SvamConfig) -> AutoencoderKLTemporalDecoder:
    encoder = config.image_encoder
    return AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * len(encoder.block_widths),
        block_out_channels=encoder.block_widths,
        layers_per_block=encoder.layers_per_block,
        latent_channels=encoder.latent_channels,
    )


def text_encoder(config: SvamConfig) -> CLIPTextModelWithProjection:
    text = config.text
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=text.vocabulary_size,
            hidden_size=text.width,
            intermediate_size=text.mlp_width,
            num_hidden_layers=text.layers,
            num_attention_heads=text.heads,
            projection_dim=text.goal_width,
            max_position_embeddings=text.max_positions,
        )
    )


def groups(config: SvamConfig = PUBLISHED, seed: int = 0) -> dict[str, Tensors]:
    """Every group's tensors under their published names."""
    shapes = {
        "unet": shapes_of(unet(config)),
        "vae": shapes_of(vae(config)),
        "text_encoder": shapes_of(text_encoder(config)),
        "dinov2": dinov2(config),
        "da3_backbone": da3_backbone(config),
        "hidden2dino": decoupler(config, config.references.semantic.width),
        "hidden2dpa": decoupler(config, config.references.geometric_width),
        "Video_Former": video_former(config),
        "model": action_model(config),
    }
    return {group: filled(names, seed) for group, names in shapes.items()}


def shapes_of(module: Any) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def action_state(weights: dict[str, Tensors]) -> Tensors:
    """The ``model`` entry of an action checkpoint: everything that was in the trainer's module."""
    text = weights["text_encoder"]
    return (
        under("model.", weights["model"])
        | under("Video_Former.", weights["Video_Former"])
        | under("hidden2dino.", weights["hidden2dino"])
        | under("hidden2dpa.", weights["hidden2dpa"])
        | under("language_goal.hf_text_encoder.", text)
        | under("TVP_encoder.text_encoder.", {k: t.clone() for k, t in text.items()})
        | under("_dino_encoder.", weights["dinov2"])
        | under("_dpa_encoder.pretrained.", weights["da3_backbone"])
    )


def write_published(folder: Path, weights: dict[str, Tensors]) -> PublishedFiles:
    """All files of a published model, as their trainers write them."""
    files = write_without_pickles(folder, weights, shard_size="200KB")
    state = {"model": weights["hidden2dino"], "epoch": 10, "best_loss": 0.5, "optimizer": {"state": {}}}
    torch.save(state, folder / "semantic.pt", _use_new_zipfile_serialization=False)
    torch.save(weights["dinov2"], folder / "dinov2.pth")
    save_file(under("model.backbone.pretrained.", weights["da3_backbone"]), folder / "da3.safetensors")
    save_action(folder / "action.pt", action_state(weights))
    return dataclasses.replace(
        files,
        action=folder / "action.pt",
        semantic=folder / "semantic.pt",
        dinov2=folder / "dinov2.pth",
        da3=folder / "da3.safetensors",
    )


def write_without_pickles(
    folder: Path, weights: dict[str, Tensors], *, shard_size: str = "1GB"
) -> PublishedFiles:
    """The fewest files that make a whole model, all of them safetensors: no process has to start."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, module, size in (("unet", unet(PUBLISHED), shard_size), ("vae", vae(PUBLISHED), "1GB")):
        module.load_state_dict(weights[name])
        module.save_pretrained(folder / "svd" / name, max_shard_size=size)
    write_tokenizer(folder / "clip")
    save_file(action_state(weights), folder / "action.safetensors")
    return PublishedFiles(unet=folder / "svd", action=folder / "action.safetensors", clip=folder / "clip")


def save_action(path: Path, state: Tensors) -> None:
    """With the settings object that the published trainer leaves in its files."""
    with fake_omegaconf() as settings:
        content = {
            "model": state,
            "args": settings({"lr": 1e-4, "betas": [0.9, 0.9]}),
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
            "epoch": 3,
        }
        torch.save(content, path)


@contextmanager
def fake_omegaconf() -> Iterator[type]:
    """A package of that name whose objects pickle as the real ones do, gone again afterwards."""

    class ContainerMetadata:
        def __init__(self) -> None:
            self.ref_type, self.object_type, self.flags = typing.Any, dict, None

    class AnyNode:
        def __init__(self, value: Any) -> None:
            self.value, self._metadata = value, ContainerMetadata()

    class DictConfig:
        def __init__(self, values: dict[str, Any]) -> None:
            self.content = {name: AnyNode(value) for name, value in values.items()}
            self._metadata = ContainerMetadata()

        def __getstate__(self) -> dict[str, Any]:
            return self.__dict__

        def __setstate__(self, state: dict[str, Any]) -> None:
            raise AssertionError("the settings object was built")

    package = types.ModuleType("omegaconf")
    for kind in (ContainerMetadata, AnyNode, DictConfig):
        kind.__module__, kind.__qualname__ = "omegaconf", kind.__name__
        setattr(package, kind.__name__, kind)
    sys.modules["omegaconf"] = package
    try:
        yield DictConfig
    finally:
        del sys.modules["omegaconf"]


def write_tokenizer(folder: Path) -> None:
    """``vocab.json`` and ``merges.txt`` of CLIP's kind: bytes, bytes at word ends, merges, marks."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    merges = [("t", "h"), ("th", "e</w>"), ("o", "p"), ("op", "e"), ("ope", "n</w>"), ("i", "t</w>")]
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
