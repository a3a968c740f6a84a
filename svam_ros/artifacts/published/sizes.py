"""Numbers of a network that single tensors tell, so that a wrong preset is said in one sentence.

A wrong preset makes hundreds of shapes wrong; these few say what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from svam_ros.networks.config import SvamConfig

Expected = Callable[[SvamConfig], int]


@dataclass(frozen=True)
class Length:
    """A dimension of one tensor."""

    what: str
    tensor: str
    axis: int
    expected: Expected

    def found(self, tensors: Mapping[str, Tensor]) -> int | None:
        """The length, where the tensor is there."""
        shape = tensors[self.tensor].shape if self.tensor in tensors else ()
        return shape[self.axis] if len(shape) > self.axis else None


@dataclass(frozen=True)
class Count:
    """How many blocks there are; ``{}`` in the name counts them."""

    what: str
    tensor: str
    expected: Expected
    more_is_fine: bool = False

    def found(self, tensors: Mapping[str, Tensor]) -> int | None:
        """The number of blocks, as far as they matter."""
        numbers = re.compile(re.escape(self.tensor).replace(r"\{\}", r"\d+"))
        return sum(1 for name in tensors if numbers.fullmatch(name)) or None


def _positions(config: SvamConfig) -> int:
    context = 1 + config.backbone.frames * config.uni_perceiver.latents_per_frame
    return context + config.action_expert.pred_horizon


_DECOUPLER_TENSOR = "base_model.blocks.{}.spatial_norm1.weight"

SIZES: dict[str, tuple[Length | Count, ...]] = {
    "unet": (
        Length("width of the first level", "conv_in.weight", 0, lambda c: c.backbone.block_widths[0]),
        Count("number of levels", "down_blocks.{}.resnets.0.spatial_res_block.conv1.weight",
              lambda c: len(c.backbone.block_widths)),
    ),
    "vae": (
        Length("width of the first level", "encoder.conv_in.weight", 0,
               lambda c: c.image_encoder.block_widths[0]),
        Length("number of latent channels (twice)", "quant_conv.weight", 0,
               lambda c: 2 * c.image_encoder.latent_channels),
    ),
    "text_encoder": (
        Length("vocabulary", "text_model.embeddings.token_embedding.weight", 0,
               lambda c: c.text.vocabulary_size),
        Length("width", "text_model.embeddings.token_embedding.weight", 1, lambda c: c.text.width),
        Count("number of layers", "text_model.encoder.layers.{}.layer_norm1.weight", lambda c: c.text.layers),
    ),
    "dinov2": (
        Length("width", "cls_token", 2, lambda c: c.references.semantic.width),
        Length("number of registers", "register_tokens", 1, lambda c: c.references.semantic.registers),
        Count("number of blocks", "blocks.{}.norm1.weight", lambda c: c.references.semantic.layers),
    ),
    "da3_backbone": (
        Length("width", "cls_token", 2, lambda c: c.references.geometric.width),
        Count("number of blocks", "blocks.{}.norm1.weight", lambda c: c.references.geometric.layers,
              more_is_fine=True),
    ),
    "hidden2dino": (
        Length("width", "base_model.output_norm.weight", 0, lambda c: c.semantic_decoupler.width),
        Length("width of the foresight tokens", "base_model.output_proj.weight", 0,
               lambda c: c.references.semantic.width),
        Count("number of blocks", _DECOUPLER_TENSOR, lambda c: c.semantic_decoupler.layers),
    ),
    "hidden2dpa": (
        Length("width", "base_model.output_norm.weight", 0, lambda c: c.geometric_decoupler.width),
        Length("width of the foresight tokens", "base_model.output_proj.weight", 0,
               lambda c: c.references.geometric_width),
        Count("number of blocks", _DECOUPLER_TENSOR, lambda c: c.geometric_decoupler.layers),
    ),
    "Video_Former": (
        Length("number of frames", "latents", 0, lambda c: c.backbone.frames),
        Length("number of latents per frame", "latents", 1, lambda c: c.uni_perceiver.latents_per_frame),
        Length("width", "latents", 2, lambda c: c.uni_perceiver.width),
        Count("number of layers", "layers.{}.0.to_q.weight", lambda c: c.uni_perceiver.layers),
    ),
    "model": (
        Length("number of values in an action", "inner_model.action_pred.weight", 0,
               lambda c: c.action_expert.action_dim),
        Length("width", "inner_model.action_pred.weight", 1, lambda c: c.action_expert.width),
        # not used in computing, but the only tensor that knows how many actions the expert was trained on
        Length("number of goal, context and action positions", "inner_model.pos_emb", 1, _positions),
        Count("number of encoder blocks", "inner_model.encoder.blocks.{}.ln_1.weight",
              lambda c: c.action_expert.encoder_layers),
        Count("number of decoder blocks", "inner_model.decoder.blocks.{}.ln_1.weight",
              lambda c: c.action_expert.decoder_layers),
    ),
}  # fmt: skip
"""For every group of a published checkpoint."""


def differing_sizes(group: str, tensors: Mapping[str, Tensor], config: SvamConfig) -> list[str]:
    """For every size that differs, a sentence with both numbers."""
    differing = []
    for size in SIZES[group]:
        found, wanted = size.found(tensors), size.expected(config)
        enough = isinstance(size, Count) and size.more_is_fine and found is not None and found > wanted
        if found is not None and found != wanted and not enough:
            differing.append(f"{size.what} is {found} in the file, {wanted} in the preset")
    return differing
