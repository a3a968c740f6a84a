"""The list of the guard's statements that were removed, one by one, is that of the guard as it is."""

from __future__ import annotations

import ast

from mutation.campaign import LIST, equivalents
from mutation.one_mutant import SURVIVED
from mutation.statements import GUARDING, Statement, statements, without


def listed() -> dict[str, str]:
    entries = (line.partition("  # ") for line in LIST.read_text(encoding="utf-8").splitlines())
    return {title: test for title, _, test in entries}


def test_every_statement_was_removed_and_missed():
    """After a change of the guard: make mutants ARGS="--write --modules ..."."""
    titles = [statement.title for module in GUARDING for statement in statements(module)]
    assert len(set(titles)) == len(titles)
    kept = listed()
    assert [title for title in titles if title not in kept or kept[title] == "not tried yet"] == []
    assert [title for title in kept if title not in titles] == []
    unnoticed = {title for title, test in kept.items() if test == SURVIVED}
    assert unnoticed == set(equivalents())


def test_a_statement_is_removed_and_nothing_else():
    first = Statement("approach_ramp", "ApproachRamp.__init__", "self._settings = settings", 0)
    changed = ast.unparse(without(first))
    assert "self._settings = settings" not in changed
    assert changed.count("pass") == 1
    assert "self._grows_from_ns = 0" in changed
