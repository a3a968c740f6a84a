"""Mutants of the guard: what is removed, and that it is told from all others."""

from __future__ import annotations

import ast

from mutation.campaign import NOT_TRIED, equivalents, listed
from mutation.one_mutant import SURVIVED
from mutation.statements import GUARDING, Statement, statements, without


def test_a_statement_is_removed_and_nothing_else():
    first = Statement("approach_ramp", "ApproachRamp.__init__", "self._settings = settings", 0)
    changed = ast.unparse(without(first))
    assert "self._settings = settings" not in changed
    assert changed.count("pass") == 1
    assert "self._grows_from_ns = 0" in changed


def test_of_every_statement_of_the_guard_the_list_names_a_test_that_notices_its_loss():
    """After a change: make mutants ARGS="--write --missing"."""
    kept, equivalent = listed(), equivalents()
    titles = [statement.title for module in GUARDING for statement in statements(module)]
    assert list(kept) == titles
    assert set(equivalent) <= set(titles)
    unnoticed = [
        title for title in titles if kept[title] in (NOT_TRIED, SURVIVED) and title not in equivalent
    ]
    assert unnoticed == []


def test_what_python_does_by_itself_is_no_statement_to_remove():
    returned = [s for s in statements("chunk_admission") if s.text == "return None"]
    assert {s.function for s in returned} == {"ChunkAdmission._check_limits", "ChunkAdmission._check_order"}


def test_every_statement_has_a_title_of_its_own():
    titles = [statement.title for module in GUARDING for statement in statements(module)]
    assert len(titles) > 400
    assert len(set(titles)) == len(titles)
