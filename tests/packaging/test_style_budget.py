"""The house rules of AGENTS.md that a formatter cannot hold: sizes, branches, docstrings, names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("svam_ros", "svam_train", "benchmarks", "tools")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FUNCTIONS_IN = [*SOURCES, *sorted((ROOT / "tests" / "parity").rglob("*.py"))]
"""The comparison with the published network is read by those who doubt it: no long functions there either."""
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAX_SOURCE_LINES = 350
MAX_TEST_LINES = 450
MAX_FUNCTION_LINES = 50
MAX_BRANCHES = 10
FORBIDDEN_NAMES = {"utils", "util", "common", "misc", "helpers", "helper"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.match_case, ast.comprehension)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def branches(function: Function) -> int:
    """Places where the way through the function forks; those of functions inside it are theirs."""
    count, waiting = 0, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*Function.__args__, ast.Lambda)):
            continue
        count += isinstance(node, BRANCHES)
        waiting += ast.iter_child_nodes(node)
    return count


def public_without_docstring(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not ast.get_docstring(tree):
        yield f"{named(path)}: the module"
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if not isinstance(node, (ast.ClassDef, *Function.__args__)) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield f"{named(path)}:{node.lineno}: {node.name}"
            if isinstance(node, ast.ClassDef):
                waiting.append(node)


def test_files_do_one_thing():
    too_long = {named(path): lines_of(path) for path in SOURCES if lines_of(path) > MAX_SOURCE_LINES}
    too_long |= {named(path): lines_of(path) for path in TESTS if lines_of(path) > MAX_TEST_LINES}
    assert not too_long


def test_functions_do_one_thing():
    too_long = [
        f"{named(path)}:{function.lineno} {function.name}: {length} lines"
        for path in FUNCTIONS_IN
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not too_long


def test_functions_fork_seldom():
    forked = [
        f"{named(path)}:{function.lineno} {function.name}: {branches(function)} branches"
        for path in FUNCTIONS_IN
        for function in functions(path)
        if branches(function) > MAX_BRANCHES
    ]
    assert not forked


def test_everything_public_has_a_docstring():
    assert not [place for path in SOURCES for place in public_without_docstring(path)]


def test_every_file_parses_on_python_3_10():
    for path in [*SOURCES, *TESTS, *(ROOT / "launch").glob("*.py"), ROOT / "setup.py"]:
        ast.parse(path.read_text(encoding="utf-8"), filename=named(path), feature_version=(3, 10))


def test_names_say_what_is_inside():
    paths = [*SOURCES, *TESTS, *(ROOT / "tools").iterdir()]
    assert not [named(path) for path in paths if FORBIDDEN_NAMES & {path.stem, *path.relative_to(ROOT).parts}]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(): pass", 0),
        ("def f(x):\n    if x:\n        return [y for y in x]\n    for y in x: pass", 3),
        ("def f(x):\n    def g():\n        if x: pass\n    return g", 0),
    ],
)
def test_branches_are_counted_as_meant(source, expected):
    function = ast.parse(source).body[0]
    assert isinstance(function, Function)
    assert branches(function) == expected
