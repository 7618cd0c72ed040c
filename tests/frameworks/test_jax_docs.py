"""What docs/jax.md shows is what one gets."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "jax.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_examples_print_what_stands_there() -> None:
    pytest.importorskip("equinox")
    test = doctest.DocTestParser().get_doctest(PAGE.replace("```", ""), {}, "jax", "docs/jax.md", 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(
        test, out=said.append
    )
    assert result.attempted > 10
    assert not result.failed, "".join(said)
