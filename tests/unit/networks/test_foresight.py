"""Decouplers and Uni-Perceiver."""

from __future__ import annotations

import pytest
import torch
from support.networks import CONFIG
from torch import nn

from svam_ros.networks.config import DecouplerConfig
from svam_ros.networks.decoupler import Decoupler
from svam_ros.networks.uni_perceiver import UniPerceiver


def decoupler() -> Decoupler:
    torch.manual_seed(0)
    return Decoupler(24, 10, DecouplerConfig(width=32, layers=2, heads=2, dropout=0.0)).eval()


def perceiver(frames: int = 3) -> UniPerceiver:
    torch.manual_seed(0)
    return UniPerceiver(12, frames, CONFIG.uni_perceiver).eval()


def projections() -> tuple[nn.Linear, nn.Linear]:
    """Of two decouplers 5 and 7 wide, to 4 semantic and 2 geometric channels."""
    torch.manual_seed(1)
    return nn.Linear(5, 4), nn.Linear(7, 2)


def hidden_states() -> list[torch.Tensor]:
    """Features 6 wide and both decouplers' hidden states."""
    return [torch.randn(1, 3, 5, width) for width in (6, 5, 7)]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_fused_embedding_equals_projecting_first_and_embedding_all_side_by_side(dtype):
    module, (semantic, geometric) = perceiver(), projections()
    fused = module.to(dtype).fuse(semantic.to(dtype), geometric.to(dtype))
    features, hidden_semantic, hidden_geometric = (part.to(dtype) for part in hidden_states())
    plain = module.embedding.hidden(
        torch.cat([features, semantic(hidden_semantic), geometric(hidden_geometric)], dim=-1)
    )
    ours = (
        features @ fused.feature_weight.T
        + hidden_semantic @ fused.semantic_weight.T
        + hidden_geometric @ fused.geometric_weight.T
        + fused.bias
    )
    assert fused.bias.dtype == dtype
    deviation = (ours - plain).double().norm() / plain.double().norm()
    assert deviation < {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2}[dtype]


@torch.no_grad()
def test_adapting_one_reference_frame_equals_adapting_every_copy():
    module = decoupler()
    features, reference = torch.randn(2, 3, 9, 24), torch.randn(2, 9, 10)
    fast = module(features, reference)
    x = features + module.adapter(reference[:, None].expand(-1, 3, -1, -1))
    x = module.input_projection(module.input_norm(x))
    for block in module.blocks:
        x = block(x)
    torch.testing.assert_close(module.project(fast), module.output_projection(module.output_norm(x)))


@torch.no_grad()
def test_decouplers_have_no_positions_in_time_or_space():
    module = decoupler()
    features, reference = torch.randn(1, 4, 9, 24), torch.randn(1, 9, 10)
    before = module(features, reference)
    times, places = torch.tensor([2, 0, 3, 1]), torch.randperm(9)
    torch.testing.assert_close(module(features[:, times], reference), before[:, times])
    torch.testing.assert_close(module(features[:, :, places], reference[:, places]), before[:, :, places])


@torch.no_grad()
def test_decouplers_look_along_time_and_across_each_frame():
    module = decoupler()
    features, reference = torch.randn(1, 3, 9, 24), torch.zeros(1, 9, 10)
    before = module(features, reference)
    features[0, 2, 5] += torch.randn(24)
    changed = (module(features, reference) - before).abs().amax(-1)[0]
    assert changed[2, 0] > 1e-5, "another place in the same frame"
    assert changed[0, 5] > 1e-5, "the same place in another frame"


@torch.no_grad()
def test_latents_of_the_first_frame_come_first():
    module = perceiver()
    for layer in module.layers:
        layer.temporal_attention.output.weight.zero_()
        layer.temporal_attention.output.bias.zero_()
    parts, embedding = hidden_states(), module.fuse(*projections())
    before = module(*parts, embedding).unflatten(1, (3, -1))
    parts[1][:, 1] += 1.0
    changed = (module(*parts, embedding).unflatten(1, (3, -1)) - before).abs().amax(dim=(0, 2, 3))
    assert changed[0] == 0
    assert changed[2] == 0
    assert changed[1] > 1e-4


@torch.no_grad()
def test_frames_exchange_through_the_temporal_attention():
    module = perceiver()
    parts, embedding = hidden_states(), module.fuse(*projections())
    before = module(*parts, embedding).unflatten(1, (3, -1))
    parts[0][:, 2] += 1.0
    assert (module(*parts, embedding).unflatten(1, (3, -1)) - before)[:, 0].abs().max() > 1e-5
