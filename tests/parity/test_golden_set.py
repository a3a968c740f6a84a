"""Golden sets themselves: a comparison that could not fail would prove nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from support.parity_network import our_values

from benchmarks.golden_sets.golden_set import (
    GoldenSet,
    GoldenSetError,
    golden_folders,
    write_golden_set,
)
from benchmarks.golden_sets.seeded_weights import fill, seeded_input

OWN_SETS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("kind", ["modules", "end_to_end"])
def test_every_golden_depends_on_the_weights(kind):
    golden_set = GoldenSet.open(OWN_SETS / kind)
    other = dataclasses.replace(golden_set, manifest={**golden_set.manifest, "seed": golden_set.seed + 1})
    values = our_values(other)
    assert all(golden_set.deviation(name, values[name]) > 1e-2 for name in golden_set.names)


def stored(tmp_path: Path, kind: str, **values: torch.Tensor) -> GoldenSet:
    write_golden_set(tmp_path, {"kind": kind, "seed": 0}, values)
    return GoldenSet.open(tmp_path)


def test_a_deviation_is_relative_to_the_golden(tmp_path):
    golden_set = stored(tmp_path, "modules", x=torch.tensor([[3.0, 4.0]]))
    assert golden_set.deviation("x", torch.tensor([3.0, 4.0])) == 0
    assert golden_set.deviation("x", torch.tensor([3.0, 4.5])) == pytest.approx(0.1)


def test_a_value_of_another_size_is_no_match(tmp_path):
    golden_set = stored(tmp_path, "modules", x=torch.ones(2, 3))
    with pytest.raises(GoldenSetError, match=r"x: 5 elements, the golden set has \[2, 3\]"):
        golden_set.deviation("x", torch.ones(5))


@pytest.mark.parametrize(("kind", "elements", "step"), [("modules", 8100, 2), ("end_to_end", 61000, 3)])
def test_large_entries_are_compared_as_they_were_sampled(tmp_path, kind, elements, step):
    whole = torch.randn(elements)
    golden_set = stored(tmp_path, kind, x=whole[::step])
    sampled = GoldenSet(golden_set.path, {"kind": kind, "full_shapes": {"x": [elements]}})
    assert sampled.deviation("x", whole) == 0
    assert sampled.deviation("x", whole.roll(1)) > 0.1


def test_a_folder_is_a_set_or_holds_sets(tmp_path):
    for name in ("a", "b"):
        stored(tmp_path / name, "modules", x=torch.ones(1))
    assert golden_folders(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert golden_folders(tmp_path / "a") == [tmp_path / "a"]
    with pytest.raises(GoldenSetError, match="no golden set"):
        golden_folders(tmp_path / "nowhere")
    (tmp_path / "a" / "goldens.safetensors").unlink()
    with pytest.raises(GoldenSetError, match=r"has no goldens\.safetensors"):
        GoldenSet.open(tmp_path / "a")


def test_weights_depend_on_seed_name_and_shape_alone():
    shapes = {"a.weight": [4, 3], "a.bias": [4], "norm.weight": [500], "mix_factor": []}
    weights = fill(shapes, 3)
    assert {name: list(tensor.shape) for name, tensor in weights.items()} == shapes
    assert fill({"a.weight": [4, 3]}, 3)["a.weight"].equal(weights["a.weight"])
    assert not fill({"b.weight": [4, 3]}, 3)["b.weight"].equal(weights["a.weight"])
    assert not fill(shapes, 4)["a.weight"].equal(weights["a.weight"])
    assert weights["norm.weight"].mean() == pytest.approx(1.0, abs=0.02)


def test_inputs_are_standard_normal():
    x = seeded_input("x", (40, 50), 1)
    assert x.std() == pytest.approx(1.0, abs=0.1)
    assert not x.equal(seeded_input("y", (40, 50), 1))
