"""The statements of the guard, each of which can be removed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTROL = Path(__file__).resolve().parents[2] / "svam_ros" / "control"
GUARDING = (
    "guard",
    "approach_ramp",
    "arm_conditions",
    "chunk_admission",
    "chunk_curve",
    "chunk_streak",
    "chunk_timeline",
    "clocks",
    "commander_watch",
    "joint_state_watch",
    "motion_limiter",
    "policy_watch",
    "guard_activity",
    "step_counter",
    "tracking_watch",
)
"""Modules between a chunk and a set-point; the others plan what is asked for, or tell of it."""
_REMOVABLE = (
    ast.Expr,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.Return,
    ast.Raise,
    ast.Continue,
    ast.Break,
)


@dataclass(frozen=True)
class Statement:
    """One that can be removed."""

    module: str
    function: str
    """With its class."""
    text: str
    number: int
    """Of the equal ones in the function, from 0."""

    @property
    def title(self) -> str:
        """On one line."""
        again = f" (number {self.number + 1})" if self.number else ""
        return f"{self.module}: {self.function}: {self.text}{again}"


def source(module: str) -> str:
    """Of a module of the guard."""
    return (CONTROL / f"{module}.py").read_text(encoding="utf-8")


def statements(module: str) -> list[Statement]:
    """All of a module, from top to bottom."""
    return [statement for statement, _body, _index in _found(module, ast.parse(source(module)))]


def without(statement: Statement) -> ast.Module:
    """The module with the statement replaced by ``pass``."""
    tree = ast.parse(source(statement.module))
    for found, body, index in _found(statement.module, tree):
        if found == statement:
            body[index] = ast.copy_location(ast.Pass(), body[index])
            return ast.fix_missing_locations(tree)
    raise ValueError(f"there is no such statement: {statement.title}")


def _found(module: str, tree: ast.Module) -> Iterator[tuple[Statement, list[ast.stmt], int]]:
    for name, function in _functions(tree):
        seen: dict[str, int] = {}
        for body in _bodies(function):
            for index, node in enumerate(body):
                if isinstance(node, _REMOVABLE) and not (
                    _is_docstring(node) or _is_said_anyway(node, function)
                ):
                    text = " ".join(ast.unparse(node).split())
                    seen[text] = seen.get(text, -1) + 1
                    yield Statement(module, name, text, seen[text]), body, index


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield f"{node.name}.{part.name}", part


def _bodies(function: ast.FunctionDef) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(function):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                yield body


def _is_said_anyway(node: ast.stmt, function: ast.FunctionDef) -> bool:
    """A ``return None`` at the end of a function, which the type checker wants and Python does by itself."""
    is_none = (
        isinstance(node, ast.Return) and isinstance(node.value, ast.Constant) and node.value.value is None
    )
    return is_none and node is function.body[-1]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
