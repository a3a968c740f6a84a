"""Published weights through our importer into our networks: every golden of every set.

``pytest tests/parity --goldens DIR`` compares any golden set, also of published size. Without the option
our own small sets are compared, and the golden sets beside the checkout where there are any.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from support.parity_network import our_values
from torch import Tensor

from benchmarks.golden_sets.golden_set import GoldenSet
from benchmarks.golden_sets.golden_values import published_values

LARGEST_DEVIATION = 1e-5
"""Relative root mean square, fp32."""

PUBLISHED_SIZE_S = 3600.0


@dataclass(frozen=True)
class Computed:
    """The values of one set, or why there are none."""

    golden_set: GoldenSet
    values: dict[str, Tensor]
    failure: Exception | None

    def deviation(self, name: str) -> float:
        """Of the value from its golden; the failure, where that is what there is."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        assert name in self.values, "a golden that nothing is compared with"
        return self.golden_set.deviation(name, self.values[name])


def compute(folder: Path, values_of: Callable[[GoldenSet], dict[str, Tensor]]) -> Computed:
    """Run a set once. A failure is kept without its frames, which hold the network's memory."""
    golden_set = GoldenSet.open(folder)
    try:
        return Computed(golden_set, values_of(golden_set), None)
    except Exception as error:  # whatever it is, it is every entry's failure and told as such
        traceback.print_exc()
        error.__cause__ = error.__context__ = None
        return Computed(golden_set, {}, error.with_traceback(None))


@lru_cache(maxsize=1)  # entries of a set come one after the other, and its values may be large
def ours(folder: Path) -> Computed:
    return compute(folder, our_values)


@lru_cache(maxsize=1)
def plain(folder: Path) -> Computed:
    return compute(folder, lambda opened: published_values(opened, opened.names, torch.float32))


@pytest.mark.timeout(PUBLISHED_SIZE_S)
def test_our_networks_give_the_golden(golden_folder: Path, golden_name: str):
    assert ours(golden_folder).deviation(golden_name) <= LARGEST_DEVIATION


@pytest.mark.timeout(PUBLISHED_SIZE_S)
def test_the_published_form_gives_the_golden(golden_folder: Path, golden_name: str):
    assert plain(golden_folder).deviation(golden_name) <= LARGEST_DEVIATION


def test_a_set_that_fails_is_run_once_and_every_golden_says_why():
    runs = []

    def fail(golden_set: GoldenSet) -> dict[str, Tensor]:
        runs.append(golden_set)
        raise ValueError("no such network")

    computed = compute(Path(__file__).parent / "goldens" / "modules", fail)
    for name in ("context_tokens", "semantic_foresight"):
        with pytest.raises(ValueError, match="no such network") as told:
            computed.deviation(name)
        assert "fail" not in [entry.name for entry in told.traceback], "its frames hold the network"
    assert len(runs) == 1
