"""Muon for matrices and AdamW for the rest: who moves what and how far, checkpoints, what is refused."""

from dataclasses import replace

import pytest
import torch
from support.made_up_training import SETTINGS, MadeUpObjective
from support.run_records import everything_of, metric_lines
from torch import nn

from svam_train.training.loop import train
from svam_train.training.muon import BatchedMuon
from svam_train.training.optimizer import make_optimizer
from svam_train.training.run_folder import RunError, RunFolder

MUON = replace(SETTINGS, optimizer="muon", weight_decay=0.0)


class Parts(nn.Module):
    """One parameter of every kind; ``idle`` is not trained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 8)
        self.kernel = nn.Conv1d(8, 4, 3)
        self.layer = nn.Linear(8, 16)
        self.idle = nn.Linear(8, 8).requires_grad_(requires_grad=False)


def moved(settings, steps=1):
    """How far each parameter goes under gradients that are drawn anew for every step."""
    module = Parts()
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    optimizer = make_optimizer(module, settings, sharded=False)
    for _ in range(steps):
        for value in module.parameters():
            value.grad = torch.randn_like(value) if value.requires_grad else None
        optimizer.step()
    return {name: value.detach() - before[name] for name, value in module.named_parameters()}


def test_matrices_go_the_same_way_in_all_directions_and_as_far_as_with_adamw():
    by_muon, by_adamw = moved(MUON)["layer.weight"], moved(replace(MUON, optimizer="adamw"))["layer.weight"]
    values = torch.linalg.svdvals(by_muon)
    assert values.max() / values.min() < 2.0  # of a random gradient more than 5
    assert 0.1 < by_muon.square().mean().sqrt() / by_adamw.square().mean().sqrt() < 0.4  # 0.2 as published


@pytest.mark.parametrize("name", ["table.weight", "kernel.weight", "kernel.bias", "layer.bias"])
def test_what_is_no_layers_matrix_goes_as_with_adamw(name):
    assert torch.equal(moved(MUON, 3)[name], moved(replace(MUON, optimizer="adamw"), 3)[name])


def test_what_is_not_trained_stays():
    assert not moved(MUON, 3)["idle.weight"].any()


@pytest.mark.parametrize("module", [nn.Linear(4, 4, bias=False), nn.LayerNorm(4)], ids=["matrices", "gains"])
def test_modules_of_one_kind_are_trained_too(module):
    optimizer = make_optimizer(module, MUON, sharded=False)
    before = module.weight.detach().clone()
    module.weight.grad = torch.ones_like(before) + torch.eye(*before.shape) if before.ndim == 2 else before
    optimizer.step()
    assert not torch.equal(module.weight, before)


def test_it_learns_and_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    class Killed(Exception):
        pass

    class DyingObjective(MadeUpObjective):
        def batch(self, step, size):
            if step == 7:
                raise Killed
            return super().batch(step, size)

    def run(folder, objective, settings, *, resume=False):
        train(objective, settings, RunFolder(folder, settings), resume=resume)
        return folder

    whole = run(tmp_path / "whole", MadeUpObjective(), MUON)
    often = replace(MUON, checkpoint_every_s=1e-9)
    with pytest.raises(Killed):
        run(tmp_path / "died", DyingObjective(), often)
    assert everything_of(run(tmp_path / "died", MadeUpObjective(), often, resume=True)) == everything_of(
        whole
    )
    held_out = [line["held_out"]["total"] for line in metric_lines(whole) if "held_out" in line]
    assert held_out[-1] < held_out[0]


def test_divided_matrices_are_refused_in_a_sentence():
    with pytest.raises(RunError, match="optimizer muon needs whole matrices, and FSDP divides them"):
        make_optimizer(Parts(), MUON, sharded=True)


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="cannot share a closure"):
        make_optimizer(Parts(), MUON, sharded=False).step(lambda: 0.0)


def test_a_step_is_torchs_own_for_every_shape():
    """torch rounds to bfloat16 on the way, hence the tolerance."""
    shapes = [(16, 8), (8, 16), (16, 8), (12, 12), (16, 8)]
    torch.manual_seed(1)
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(value.detach().clone()) for value in ours]
    numbers = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = BatchedMuon(ours, **numbers), torch.optim.Muon(theirs, **numbers)
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-3, rtol=0.0)
    states = [optimizer.state_dict()["state"] for optimizer in optimizers]
    assert states[0].keys() == states[1].keys()
    for number, other in states[1].items():
        assert states[0][number].keys() == other.keys()
        torch.testing.assert_close(states[0][number]["momentum_buffer"], other["momentum_buffer"])


def test_a_matrix_without_a_gradient_stays():
    matrices = [nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))]
    matrices[0].grad = torch.randn(4, 4)
    BatchedMuon(matrices).step()
    assert torch.equal(matrices[1], torch.ones(4, 4))
    assert not torch.equal(matrices[0], torch.ones(4, 4))
