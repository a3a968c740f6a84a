"""On a CPU the backbone's MLPs never see more rows at once than they are allowed, and give the same."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention import FeedForward
from support.networks import random_inputs, random_network
from torch import Tensor

from svam_ros.engines.accuracy import relative_rms
from svam_ros.networks import unet_blocks
from svam_ros.networks.unet_blocks import MLP_ROWS, _feed_forward

WIDTH = 8


def mlp_and_rows() -> tuple[FeedForward, list[int]]:
    torch.manual_seed(0)
    mlp, rows = FeedForward(WIDTH, activation_fn="geglu"), []
    mlp.register_forward_pre_hook(lambda _module, arguments: rows.append(arguments[0][..., 0].numel()))
    return mlp, rows


def tokens(count: int) -> Tensor:
    """In the order in which the temporal layers read them: a transposed view."""
    return torch.randn(2, count, 3, WIDTH, generator=torch.Generator().manual_seed(1)).transpose(1, 2)


def test_many_tokens_go_through_in_parts_and_come_out_the_same():
    mlp, rows = mlp_and_rows()
    x = tokens(1500)
    with torch.no_grad():
        whole, parts = mlp(x), _feed_forward(mlp, x)
    assert rows == [9000, MLP_ROWS, MLP_ROWS, 9000 - 2 * MLP_ROWS]
    assert relative_rms(parts, whole) <= 1e-6


@pytest.mark.parametrize(("count", "gradients"), [(20, False), (1500, True)])
def test_few_tokens_and_training_take_one_call(count: int, gradients: bool):
    mlp, rows = mlp_and_rows()
    with torch.set_grad_enabled(gradients):
        _feed_forward(mlp, tokens(count))
    assert rows == [6 * count]


def test_all_mlps_of_the_backbone_go_that_way(monkeypatch):
    network = random_network()
    inputs = random_inputs(network).as_tuple()
    rows: dict[int, list[int]] = {}
    for module in network.video_backbone.modules():
        if isinstance(module, FeedForward):
            module.register_forward_pre_hook(
                lambda mlp, arguments: rows.setdefault(id(mlp), []).append(arguments[0][..., 0].numel())
            )
    with torch.no_grad():
        whole = network(*inputs)
        assert rows
        assert min(sum(of_one) for of_one in rows.values()) > 4
        rows.clear()
        monkeypatch.setattr(unet_blocks, "MLP_ROWS", 4)
        parts = network(*inputs)
    assert max(max(of_one) for of_one in rows.values()) == 4
    assert relative_rms(parts, whole) <= 1e-5
