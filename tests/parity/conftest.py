"""Which golden sets are compared: ``pytest tests/parity --goldens DIR``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.golden_sets.golden_set import GoldenSet, golden_folders

ROOT = Path(__file__).parents[2]
OWN_SETS = Path(__file__).parent / "goldens"
BESIDE_THE_CHECKOUT = ROOT.parent / "shared" / "parity"
VARIABLE = "SVAM_GOLDENS"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--goldens",
        action="append",
        type=Path,
        metavar="DIR",
        help=f"a golden set, or a folder of them, instead of our own; repeatable (or ${VARIABLE}, with "
        f"'{os.pathsep}' between)",
    )


def chosen_folders(config: pytest.Config) -> list[Path]:
    """Of the option; else our own, and those of the environment or beside the checkout, if any."""
    given = config.getoption("goldens", default=None)
    if given:
        return [folder for path in given for folder in golden_folders(path.resolve())]
    named = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    beside = [BESIDE_THE_CHECKOUT] if not named and BESIDE_THE_CHECKOUT.is_dir() else []
    return [folder for path in [OWN_SETS, *named, *beside] for folder in golden_folders(path)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each set, or for each of its entries."""
    if "golden_folder" not in metafunc.fixturenames:
        return
    folders = chosen_folders(metafunc.config)
    if "golden_name" not in metafunc.fixturenames:
        ids = [f"{folder.parent.name}/{folder.name}" for folder in folders]
        metafunc.parametrize("golden_folder", folders, ids=ids)
        return
    entries = [(folder, name) for folder in folders for name in GoldenSet.open(folder).names]
    ids = [f"{folder.parent.name}/{folder.name}-{name}" for folder, name in entries]
    metafunc.parametrize(("golden_folder", "golden_name"), entries, ids=ids)
