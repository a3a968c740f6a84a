"""Beside the network, a set of published size needs samples, fp64 on fp32 weights, and a part of a page."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.golden_sets.golden_set import GoldenSet, write_golden_set
from benchmarks.golden_sets.wide_arithmetic import widen_while_running
from benchmarks.precision import PARITY_HEADING, write_page


@pytest.mark.parametrize(("kind", "kept"), [("end_to_end", 20500), ("modules", 4100)])
def test_a_sampled_set_is_small_and_compares_like_a_whole_one(tmp_path: Path, kind: str, kept: int):
    value = torch.randn(2, 20500, generator=torch.Generator().manual_seed(0))
    values = {"large": value, "small": torch.ones(3)}
    write_golden_set(tmp_path, {"kind": kind, "seed": 0}, values, sampled=True)
    golden_set = GoldenSet.open(tmp_path)
    assert {name: golden.numel() for name, golden in golden_set.goldens.items()} == {
        "large": kept,
        "small": 3,
    }
    assert golden_set.deviation("large", value) == 0
    assert golden_set.deviation("large", value.flip(-1)) > 0.1


def test_fp64_on_fp32_weights_is_the_module_in_fp64():
    torch.manual_seed(0)
    kept, whole = (
        torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval() for _ in "ab"
    )
    whole.load_state_dict(kept.state_dict())
    widen_while_running(kept, torch.float64)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(kept(x), whole.double()(x))
    assert {parameter.dtype for parameter in kept.parameters()} == {torch.float32}, "restored"


def test_the_page_of_accuracy_keeps_what_it_says_on_parity(tmp_path: Path):
    page = tmp_path / "accuracy.md"
    write_page(page, "# Old\n")
    assert page.read_text() == "# Old\n"
    section = f"\n{PARITY_HEADING}\n\nAs measured.\n"
    page.write_text(page.read_text() + section)
    write_page(page, "# New\n")
    assert page.read_text() == "# New\n" + section
