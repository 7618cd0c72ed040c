"""The tests that notice mutants pass without one."""

from __future__ import annotations

from noticing import run


def test_without_a_mutant_the_same_tests_pass() -> None:
    outcome = run("plans/test_recipes.py")
    assert outcome.passed
    assert not outcome.failures
