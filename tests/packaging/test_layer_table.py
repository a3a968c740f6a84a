"""The table of layers in AGENTS.md is what the code does: every import of ours is allowed by a row."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("svam_ros", "svam_train")


def modules() -> set[str]:
    """Top-level parts of svam_ros, and svam_train."""
    inside = (ROOT / "svam_ros").iterdir()
    parts = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").exists()}
    return parts - {"__init__"} | {"svam_train"}


def allowed_imports() -> dict[str, set[str]]:
    """From the table: each layer and the layers it may import."""
    page = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    allowed: dict[str, set[str]] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        layers = re.findall(r"`(\w+)`", cells[0])
        if len(cells) != 4 or not layers:
            continue
        for layer in layers:
            words = set(re.findall(r"\w+", cells[2]))
            excluded = set(re.findall(r"\w+", cells[2].partition(" but ")[2]))
            everything = set(allowed) if cells[2].startswith("all above") else set()
            everything |= modules() if cells[2].startswith("everything") else set()
            allowed[layer] = (everything | (words & modules())) - excluded
    return allowed


def imports_of(path: Path) -> set[str]:
    """The layers that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for package, _, rest in (name.partition(".") for name in names):
            if package in PACKAGES:
                found.add("svam_train" if package == "svam_train" else rest.partition(".")[0])
    return found & modules()


def files_of(layer: str) -> list[Path]:
    folder = ROOT / "svam_train" if layer == "svam_train" else ROOT / "svam_ros" / layer
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_every_layer_has_a_row():
    assert modules() == set(allowed_imports())


@pytest.mark.parametrize("layer", sorted(modules()))
def test_a_layer_imports_what_its_row_allows_and_nothing_else(layer):
    allowed = allowed_imports()[layer] | {layer}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(layer)
        for name in imports_of(path) - allowed
    }
    assert not wrong


@pytest.mark.parametrize("layer", sorted(modules() - {"nodes", "cli", "svam_train"}))
def test_a_row_allows_nothing_that_is_not_used(layer):
    used = set().union(*(imports_of(path) for path in files_of(layer)))
    assert allowed_imports()[layer] - {layer} <= used
