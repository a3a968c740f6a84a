"""Updates of low rank: the network starts as it was, only they are trained, and merging changes nothing."""

import dataclasses

import pytest
import torch
from support.made_up_video import RECIPE, descend, video_objective
from support.networks import CONFIG
from torch import nn

from svam_ros.networks.svd_backbone import VideoBackbone
from svam_train.stages.low_rank import PROJECTIONS, add_low_rank_updates, merged_state_dict
from svam_train.stages.video_model import VideoModel

LOW_RANK = dataclasses.replace(RECIPE, low_rank=2, train_text=False)


def with_updates(seed: int = 0) -> VideoBackbone:
    torch.manual_seed(seed)
    backbone = VideoBackbone(CONFIG, with_video_head=True)
    add_low_rank_updates(backbone, 2)
    return backbone


def test_the_network_starts_as_it_was():
    torch.manual_seed(0)
    plain = VideoBackbone(CONFIG, with_video_head=True).state_dict()
    merged = merged_state_dict(with_updates())
    assert merged.keys() == plain.keys()
    assert all(torch.equal(merged[name], value) for name, value in plain.items())


def test_only_the_factors_are_trained():
    backbone = with_updates()
    names = [name for name, value in backbone.named_parameters() if value.requires_grad]
    assert all(name.endswith(("weight.0.down", "weight.0.up")) for name in names)
    layers = {name.split(".parametrizations")[0] for name in names}
    attentions = {
        n.rpartition(".attn")[0] for n, _ in backbone.named_modules() if n.endswith(("attn1", "attn2"))
    }
    assert len(layers) == len(PROJECTIONS) * 2 * len(attentions)
    assert any(name.startswith("video_head.") for name in layers)


@pytest.mark.slow
def test_merged_weights_compute_what_the_updated_ones_do():
    objective = video_objective(LOW_RANK)
    before = merged_state_dict(objective.module)
    batch = objective.batch(100, 8)
    loss = objective.module(batch)["total"].item()
    descend(objective, 30, learning_rate=0.003)
    assert objective.module(batch)["total"].item() < loss
    merged = VideoModel(CONFIG)
    merged.load_state_dict(objective.network_tensors(objective.module), strict=False)
    merged.load_state_dict(merged_state_dict(objective.module))
    with torch.no_grad():
        torch.testing.assert_close(merged.errors(batch), objective.module.errors(batch), rtol=1e-3, atol=1e-4)
    changed = {name for name, value in merged.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.removesuffix(".weight").endswith(PROJECTIONS) for name in changed)
    for name in changed:
        assert torch.linalg.matrix_rank(merged.state_dict()[name] - before[name], rtol=1e-3) <= 2


def test_reduced_precision_around_a_layer_does_not_touch_its_weight():
    layer = nn.ModuleDict({"to_q": nn.Linear(8, 8)})
    add_low_rank_updates(layer, 2)
    nn.init.normal_(layer["to_q"].parametrizations.weight[0].up)
    plain = layer["to_q"].weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer["to_q"].weight, plain)


def test_a_network_without_attention_is_refused():
    with pytest.raises(ValueError, match="none"):
        add_low_rank_updates(nn.Linear(2, 2), 2)
