"""Published weights through our importer into our networks: every golden of every set.

``pytest tests/parity --goldens DIR`` compares any golden set, also of published size. Without the option
our own small sets are compared, and the golden sets beside the checkout where there are any.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from support.parity_network import our_values
from torch import Tensor

from benchmarks.published_form.golden_set import GoldenSet
from benchmarks.published_form.golden_values import published_values

LARGEST_DEVIATION = 1e-5
"""Relative root mean square, fp32."""

PUBLISHED_SIZE_S = 3600.0


@lru_cache(maxsize=1)  # entries of a set come one after the other, and its values may be large
def ours(folder: Path) -> tuple[GoldenSet, dict[str, Tensor]]:
    golden_set = GoldenSet.open(folder)
    return golden_set, our_values(golden_set)


@lru_cache(maxsize=1)
def plain(folder: Path) -> tuple[GoldenSet, dict[str, Tensor]]:
    golden_set = GoldenSet.open(folder)
    return golden_set, published_values(golden_set, golden_set.names, torch.float32)


@pytest.mark.timeout(PUBLISHED_SIZE_S)
def test_our_networks_give_the_golden(golden_folder: Path, golden_name: str):
    golden_set, values = ours(golden_folder)
    assert golden_name in values, "a golden that nothing of ours is compared with"
    assert golden_set.deviation(golden_name, values[golden_name]) <= LARGEST_DEVIATION


@pytest.mark.timeout(PUBLISHED_SIZE_S)
def test_the_published_form_gives_the_golden(golden_folder: Path, golden_name: str):
    golden_set, values = plain(golden_folder)
    assert golden_name in values, "a golden that the published form does not give"
    assert golden_set.deviation(golden_name, values[golden_name]) <= LARGEST_DEVIATION
