"""How the blocks of diffusers' spatio-temporal UNet are run here.

The parameters and their names are diffusers' own; the calls are written out, because the pass has
inputs that never change: one noise level, one set of time ids, one instruction for many images. So
what a residual block adds for the noise level is folded into the bias of its first convolution, frame
positions are given, and the text's keys and values are projected once per instruction, not once per
frame and pixel, and multiplied into the projections beside them. The results are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from svam_ros.networks.attention import merge_heads, split_heads
from svam_ros.networks.input_checks import InputError

MLP_ROWS = 4096
"""Tokens that an MLP takes at once where memory counts: more would make no product of matrices faster."""


@dataclass(frozen=True)
class TextAttention:
    """The instruction's n words as one transformer's two cross-attentions see them.

    Words are few: 20 of them in every head are 0.31 of a layer's width as published. So the query's
    projection is multiplied with their keys, and their values with the output's, and a cross-attention is two
    narrow products around a softmax.
    """

    spatial_scores: Tensor
    """``(batch, c, heads * n)``: tokens times this are the logits of every word in every head."""
    spatial_values: Tensor
    """``(batch, heads * n, c)``: the words' shares times this are what the attention gives."""
    temporal_scores: Tensor
    temporal_values: Tensor

    def rows(self, index: Tensor) -> TextAttention:
        """The chosen instructions of a batch, in the order of ``index``."""
        return TextAttention(
            self.spatial_scores[index],
            self.spatial_values[index],
            self.temporal_scores[index],
            self.temporal_values[index],
        )


@dataclass(frozen=True)
class TransformerInputs:
    """What one spatio-temporal transformer takes besides the image."""

    text: TextAttention
    frame_positions: Tensor
    """``(frames, channels)``."""


@dataclass(frozen=True)
class ResidualConstants:
    """What a residual block's weights, the noise level and the time ids decide."""

    spatial_bias: Tensor
    """Of the spatial part's first convolution, with the noise level in it: ``(c,)``; or ``(batch, c)`` where
    every row of the batch has a noise level of its own, as in training."""
    temporal_bias: Tensor
    """Of the temporal part's, likewise."""
    temporal_share: Tensor
    """``(1,)``: how much of the change along time is added."""


@dataclass(frozen=True)
class PassInputs:
    """What the layers take besides the image, each under its name in the UNet."""

    frames: int
    residuals: Mapping[str, ResidualConstants]
    """Of every residual block: ``mid_block.resnets.0``."""
    transformers: Mapping[str, TransformerInputs]
    """Of every transformer: ``down_blocks.1.attentions.0``."""
    recompute: bool = False
    """Compute a layer's activations again when gradients need them, instead of keeping them."""


def fold_time(residual: Any, time_embedding: Tensor) -> ResidualConstants:
    """The constants of one residual block at noise level and time ids ``(1, width)``, or one row a sample."""
    activated = functional.silu(time_embedding)
    spatial, temporal = (
        (block.conv1.bias + block.time_emb_proj(activated)).squeeze(0)
        for block in (residual.spatial_res_block, residual.temporal_res_block)
    )
    return ResidualConstants(spatial, temporal, torch.sigmoid(-residual.time_mixer.mix_factor))


def project_text(transformer: Any, states: Tensor) -> TextAttention:
    """What both cross-attentions need of text states ``(batch, n, width)``."""
    spatial = transformer.transformer_blocks[0].attn2
    temporal = transformer.temporal_transformer_blocks[0].attn2
    return TextAttention(*_absorb_text(spatial, states), *_absorb_text(temporal, states))


def _absorb_text(attention: Any, states: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and values of one cross-attention; shapes as in :class:`TextAttention`."""
    heads, output = attention.heads, attention.to_out[0]
    key = split_heads(attention.to_k(states), heads) * attention.scale
    value = split_heads(attention.to_v(states), heads)
    query_weight = attention.to_q.weight.unflatten(0, (heads, -1))
    scores = (key @ query_weight).flatten(1, 2).transpose(1, 2).contiguous()
    # The shares in one head add up to 1, so each head's values hold their part of the bias.
    output_weight = output.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)
    values = (value @ output_weight + output.bias / heads).flatten(1, 2)
    return scores, values


def embed_frame_positions(transformer: Any, frames: int) -> Tensor:
    """``(frames, channels)``: the transformer's learned function of the frame index."""
    weight = transformer.time_pos_embed.linear_1.weight
    sines = transformer.time_proj(torch.arange(frames, device=weight.device))
    positions: Tensor = transformer.time_pos_embed(sines.to(weight.dtype))
    return positions


def residual_layers(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """The residual blocks of some UNet blocks by name, in the order in which they run."""
    return {
        f"{name}.resnets.{i}": layer
        for name, block in blocks.items()
        for i, layer in enumerate(block.resnets)
    }


def transformer_layers(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """The transformers of some UNet blocks by name, in the order in which they run."""
    return {
        f"{name}.attentions.{i}": layer
        for name, block in blocks.items()
        for i, layer in enumerate(getattr(block, "attentions", None) or ())
    }


def pass_inputs(
    blocks: Mapping[str, Any],
    frames: int,
    residuals: Mapping[str, ResidualConstants],
    text: Mapping[str, TextAttention],
    frame_positions: Mapping[str, Tensor],
    *,
    recompute: bool = False,
) -> PassInputs:
    """What the layers of ``blocks`` take, from three tables by the layers' names.

    Raises:
        InputError: a table lacks a layer, or has one that is not in ``blocks``.
    """
    _check_layers("residuals", residuals, residual_layers(blocks))
    transformers = transformer_layers(blocks)
    _check_layers("text", text, transformers)
    _check_layers("frame positions", frame_positions, transformers)
    return PassInputs(
        frames,
        residuals,
        {name: TransformerInputs(text[name], frame_positions[name]) for name in transformers},
        recompute and torch.is_grad_enabled(),
    )


def _check_layers(what: str, given: Mapping[str, Any], layers: Mapping[str, Any]) -> None:
    if given.keys() != layers.keys():
        raise InputError(
            f"{what}: made by another network; missing are {sorted(layers.keys() - given.keys())}, "
            f"too many are {sorted(given.keys() - layers.keys())}"
        )


def run_residual(block: Any, x: Tensor, constants: ResidualConstants, frames: int) -> Tensor:
    """Spatial, then temporal residual block, blended. ``x`` is ``(batch * frames, c, h, w)``.

    The temporal part adds a change to what it is given; blending that with the sum leaves a share of it.
    """
    bias = constants.spatial_bias
    of_frames = bias if bias.dim() == 1 else bias.repeat_interleave(frames, 0)
    layers = block.spatial_res_block
    shortcut = x if layers.conv_shortcut is None else layers.conv_shortcut(x)
    spatial = shortcut + _run_convolutions(layers, x, of_frames)
    video = spatial.unflatten(0, (-1, frames)).transpose(1, 2)
    change = _run_convolutions(block.temporal_res_block, video, constants.temporal_bias)
    blended = torch.addcmul(video, change, constants.temporal_share.to(video.dtype))
    return blended.transpose(1, 2).flatten(0, 1)


def run_transformer(transformer: Any, x: Tensor, inputs: TransformerInputs) -> Tensor:
    """One spatial and one temporal transformer block, blended. ``x`` is ``(batch * frames, c, h, w)``."""
    height, width = x.shape[-2:]
    frames = len(inputs.frame_positions)
    tokens = transformer.norm(x).flatten(2).transpose(1, 2).contiguous()  # see SelfAttention.forward
    tokens = transformer.proj_in(tokens)
    spatial = _run_spatial(transformer.transformer_blocks[0], tokens, frames, inputs.text)
    video = spatial.unflatten(0, (-1, frames))
    moved = video + inputs.frame_positions[:, None]
    temporal = _run_temporal(transformer.temporal_transformer_blocks[0], moved, inputs.text)
    spatial_share = torch.sigmoid(transformer.time_mixer.mix_factor)
    blended = torch.lerp(temporal, video, spatial_share.to(video.dtype)).flatten(0, 1)
    projected: Tensor = transformer.proj_out(blended)
    return projected.transpose(1, 2).unflatten(2, (height, width)) + x


def run_down_block(name: str, block: Any, x: Tensor, inputs: PassInputs) -> tuple[Tensor, list[Tensor]]:
    """One level of the way down; also what the way up will need of it.

    ``(batch * frames, c, h, w)`` -> ``(batch * frames, width, h / 2, w / 2)``, the coarsest level without
    halving, and a skip for every residual block ``(batch * frames, width, h, w)`` and for the halving.
    """
    skips = []
    transformers = getattr(block, "attentions", None) or [None] * len(block.resnets)
    for i, (residual, transformer) in enumerate(zip(block.resnets, transformers, strict=True)):
        x = _residual(residual, x, f"{name}.resnets.{i}", inputs)
        if transformer is not None:
            x = _transformer(transformer, x, f"{name}.attentions.{i}", inputs)
        skips.append(x)
    if block.downsamplers is not None:
        x = block.downsamplers[0](x)
        skips.append(x)
    return x, skips


def run_mid_block(name: str, block: Any, x: Tensor, inputs: PassInputs) -> Tensor:
    """The coarsest level: residual, transformer, residual. ``(batch * frames, c, h, w)`` keeps its shape."""
    x = _residual(block.resnets[0], x, f"{name}.resnets.0", inputs)
    for i, (transformer, residual) in enumerate(zip(block.attentions, block.resnets[1:], strict=True)):
        x = _transformer(transformer, x, f"{name}.attentions.{i}", inputs)
        x = _residual(residual, x, f"{name}.resnets.{i + 1}", inputs)
    return x


def run_up_block(name: str, block: Any, x: Tensor, skips: list[Tensor], inputs: PassInputs) -> Tensor:
    """One level of the way up; takes what it needs off the end of ``skips``, one for each residual block.

    ``(batch * frames, c, h, w)`` -> ``(batch * frames, width, 2 * h, 2 * w)``, the finest level without
    doubling.
    """
    transformers = getattr(block, "attentions", None) or [None] * len(block.resnets)
    for i, (residual, transformer) in enumerate(zip(block.resnets, transformers, strict=True)):
        x = torch.cat([x, skips.pop()], dim=1)
        x = _residual(residual, x, f"{name}.resnets.{i}", inputs)
        if transformer is not None:
            x = _transformer(transformer, x, f"{name}.attentions.{i}", inputs)
    if block.upsamplers is not None:
        x = block.upsamplers[0](x)
    return x


def _residual(layer: Any, x: Tensor, name: str, inputs: PassInputs) -> Tensor:
    return _run_layer(run_residual, inputs, layer, x, inputs.residuals[name], inputs.frames)


def _transformer(layer: Any, x: Tensor, name: str, inputs: PassInputs) -> Tensor:
    return _run_layer(run_transformer, inputs, layer, x, inputs.transformers[name])


def _run_layer(run: Callable[..., Tensor], inputs: PassInputs, *arguments: Any) -> Tensor:
    if not inputs.recompute:
        return run(*arguments)
    # Nothing in a layer is random, so no generator's state has to be kept.
    again: Tensor = checkpoint(run, *arguments, use_reentrant=False, preserve_rng_state=False)
    return again


def _run_convolutions(block: Any, x: Tensor, first_bias: Tensor) -> Tensor:
    """Norm, SiLU, convolution, twice: over an image or along time (``x`` has 4 or 5 dimensions). Dropout is 0
    in SVD.
    """
    shared = first_bias if first_bias.dim() == 1 else None
    hidden = _convolve(block.conv1, functional.silu(block.norm1(x)), shared)
    if shared is None:
        hidden = hidden + first_bias.to(hidden.dtype).reshape(*first_bias.shape, *(1,) * (x.dim() - 2))
    return _convolve(block.conv2, functional.silu(block.norm2(hidden)), block.conv2.bias)


def _convolve(convolution: Any, x: Tensor, bias: Tensor | None) -> Tensor:
    """Over an image, or along time with pixels side by side.

    The latter is what a convolution in three dimensions with a kernel of (n, 1, 1) computes. Its backward in
    bfloat16 gives NaN and writes beyond its memory on CPUs with AVX512-BF16 where a video has two frames
    (torch 2.13.0).
    """
    weight, padding = convolution.weight, convolution.padding
    if x.dim() == 4:
        return functional.conv2d(x, weight, bias, padding=padding)
    assert weight.shape[3:] == (1, 1), "a kernel along time"
    side_by_side = functional.conv2d(x.flatten(3), weight[..., 0], bias, padding=(padding[0], 0))
    return side_by_side.unflatten(3, x.shape[3:])


def _run_spatial(block: Any, tokens: Tensor, frames: int, text: TextAttention) -> Tensor:
    """``(batch * frames, pixels, c)``: attention within each frame, to the text, and an MLP."""
    tokens = tokens + _self_attention(block.attn1, block.norm1(tokens))
    per_sample = block.norm2(tokens).unflatten(0, (-1, frames)).flatten(1, 2)
    attended = _attend_to_text(per_sample, text.spatial_scores, text.spatial_values, block.attn2.heads)
    tokens = tokens + attended.unflatten(1, (frames, -1)).flatten(0, 1)
    output: Tensor = tokens + _feed_forward(block.ff, block.norm3(tokens))
    return output


def _run_temporal(block: Any, video: Tensor, text: TextAttention) -> Tensor:
    """``(batch, frames, pixels, c)``: attention along the frames of each pixel, to the text, and an MLP."""
    tracks = video.transpose(1, 2)
    pixels = tracks.shape[1]
    tracks = tracks + _feed_forward(block.ff_in, block.norm_in(tracks))
    attended = _self_attention(block.attn1, block.norm1(tracks).flatten(0, 1))
    tracks = tracks + attended.unflatten(0, (-1, pixels))
    per_sample = block.norm2(tracks).flatten(1, 2)
    attended = _attend_to_text(per_sample, text.temporal_scores, text.temporal_values, block.attn2.heads)
    tracks = tracks + attended.unflatten(1, (pixels, -1))
    output: Tensor = tracks + _feed_forward(block.ff, block.norm3(tracks))
    return output.transpose(1, 2)


def _feed_forward(mlp: Any, x: Tensor) -> Tensor:
    """The gated MLP on tokens ``(..., c)``.

    It makes 16 numbers of each on the way: at full size three times what all else in a layer takes. On a
    CPU it therefore takes some rows after the other, which is faster besides: 102 instead of 151 ms at
    16,384 tokens of 320 in bfloat16 on one thread, 65 instead of 182 ms on two.
    """
    if x.is_cuda or torch.is_grad_enabled() or x[..., 0].numel() <= MLP_ROWS:
        return cast(Tensor, mlp(x))
    parts = x.flatten(0, -2).split(MLP_ROWS)
    return torch.cat([mlp(part) for part in parts]).view(x.shape)


def _self_attention(attention: Any, x: Tensor) -> Tensor:
    query = split_heads(attention.to_q(x), attention.heads)
    key = split_heads(attention.to_k(x), attention.heads)
    value = split_heads(attention.to_v(x), attention.heads)
    output: Tensor = attention.to_out[0](
        merge_heads(functional.scaled_dot_product_attention(query, key, value))
    )
    return output


def _attend_to_text(x: Tensor, scores: Tensor, values: Tensor, heads: int) -> Tensor:
    """Tokens ``(batch, tokens, c)`` -> what the text adds to them, same shape."""
    shares = (x @ scores).unflatten(-1, (heads, -1)).softmax(dim=-1)
    return shares.flatten(-2) @ values
