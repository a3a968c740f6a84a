"""Networks of any size, not only those of a golden set: the published form against ours, both fp32."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.parity_network import our_values

from benchmarks.golden_sets.golden_config import published_sizes
from benchmarks.golden_sets.golden_manifest import modules_manifest
from benchmarks.golden_sets.golden_set import GoldenSet
from benchmarks.golden_sets.golden_values import published_values
from svam_ros.engines.accuracy import relative_rms
from svam_ros.networks.config import (
    ActionExpertConfig,
    BackboneConfig,
    DecouplerConfig,
    GeometricReferenceConfig,
    SemanticReferenceConfig,
    SvamConfig,
    UniPerceiverConfig,
)
from svam_ros.networks.presets import CALVIN
from svam_ros.networks.published_form.groups import GivenReferences, PublishedSizes

LARGEST_DEVIATION = 1e-5


class MadeUpSet(GoldenSet):
    """A set that nobody stored."""

    @property
    def names(self) -> list[str]:
        return ["denoised_sigma_0.05", "denoised_sigma_9.0", "loss_sigma_1.5"]


@st.composite
def backbones(draw: st.DrawFn) -> BackboneConfig:
    heads = [draw(st.sampled_from((1, 2, 4))) for _ in range(4)]
    return dataclasses.replace(
        CALVIN.backbone,
        block_widths=tuple(32 * draw(st.integers(1, 2)) for _ in range(4)),
        heads=tuple(heads),
        attention_levels=tuple(draw(st.booleans()) for _ in range(4)),
        layers_per_block=draw(st.integers(1, 2)),
        frames=draw(st.integers(2, 4)),
        time_id_width=4 * draw(st.integers(1, 4)),
    )


@st.composite
def geometric_references(draw: st.DrawFn) -> GeometricReferenceConfig:
    layers = draw(st.integers(1, 6))
    heads = draw(st.integers(1, 3))
    first = {
        name: draw(st.integers(0, layers + 1)) for name in ("alternate_from", "qk_norm_from", "rotary_from")
    }
    return GeometricReferenceConfig(
        width=8 * heads * draw(st.integers(1, 3)), layers=layers, heads=heads, **first
    )


@st.composite
def decouplers(draw: st.DrawFn, heads: int) -> DecouplerConfig:
    return DecouplerConfig(
        width=4 * heads * draw(st.integers(2, 9)), layers=draw(st.integers(1, 3)), heads=heads, dropout=0.1
    )


@st.composite
def perceivers(draw: st.DrawFn) -> UniPerceiverConfig:
    return UniPerceiverConfig(
        width=8 * draw(st.integers(2, 4)),
        hidden_width=draw(st.integers(12, 40)),
        layers=draw(st.integers(1, 3)),
        heads=draw(st.sampled_from((2, 4, 8))),
        head_width=draw(st.integers(2, 9)),
        latents_per_frame=draw(st.integers(2, 9)),
    )


@st.composite
def experts(draw: st.DrawFn) -> ActionExpertConfig:
    """The smallest context has 5 tokens: chunks may be shorter or longer."""
    return dataclasses.replace(
        CALVIN.action_expert,
        action_dim=draw(st.integers(1, 16)),
        pred_horizon=draw(st.integers(1, 24)),
        width=16 * draw(st.integers(1, 3)),
        hidden_width=draw(st.integers(12, 40)),
        encoder_layers=draw(st.integers(1, 3)),
        decoder_layers=draw(st.integers(1, 3)),
        heads=draw(st.sampled_from((2, 4, 8))),
    )


@st.composite
def references(draw: st.DrawFn, grid: int) -> GivenReferences:
    """Those that the decouplers get are as wide as they like."""
    return GivenReferences(
        14 * grid,
        14,
        CALVIN.references.resize,
        "minus_one_to_one",
        SemanticReferenceConfig(draw(st.integers(8, 20)), layers=1, heads=1, registers=4),
        draw(geometric_references()),
        given_geometric_width=draw(st.integers(5, 50)),
    )


@st.composite
def sizes(draw: st.DrawFn) -> PublishedSizes:
    heads, expert = draw(st.sampled_from((1, 2, 4))), draw(experts())
    text_width, goal_width = 2 * draw(st.integers(2, 12)), 2 * draw(st.integers(1, 9))
    network = SvamConfig(
        image_encoder=dataclasses.replace(
            CALVIN.image_encoder, image_size=128, block_widths=(32, 32, 32, 32)
        ),
        text=dataclasses.replace(
            CALVIN.text, width=text_width, mlp_width=8, layers=1, heads=1, goal_width=goal_width
        ),
        backbone=draw(backbones()),
        references=draw(references(grid=8)),
        semantic_decoupler=draw(decouplers(heads)),
        geometric_decoupler=draw(decouplers(heads)),
        uni_perceiver=draw(perceivers()),
        action_expert=expert,
        exec_horizon=min(CALVIN.exec_horizon, expert.pred_horizon),
    )
    return PublishedSizes(
        network,
        geometric_depth=network.references.geometric.layers + draw(st.integers(0, 2)),
        geometric_position_grid=draw(st.sampled_from((16, 17))),  # the image's grid, or another
        state_width=draw(st.sampled_from((None, 5))),
    )


@pytest.mark.slow
# Shrinking would run whole networks for minutes; the first failing sizes say enough.
@settings(
    max_examples=4, derandomize=True, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
@given(sizes=sizes(), batch=st.integers(1, 3), seed=st.integers(0, 1000))
def test_the_published_form_and_ours_agree_at_any_size(sizes: PublishedSizes, batch: int, seed: int):
    golden_set = MadeUpSet(Path("made up"), modules_manifest(sizes, seed=seed, batch=batch))
    assert published_sizes(golden_set) == sizes, "sizes read back from the manifest"
    plain = published_values(golden_set, golden_set.names, torch.float32)
    ours = our_values(golden_set)
    assert plain.keys() == ours.keys()
    for name, value in plain.items():
        ordered = ours[name].reshape(value.shape)
        deviation = relative_rms(ordered, value)
        assert deviation <= LARGEST_DEVIATION, f"{name}: {deviation:.1e}"
