"""What docs/paddle.md shows is what one gets."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

pytest.importorskip("paddle", reason="Paddle is not installed: pip install 'fanin[paddle]'", exc_type=ImportError)
PAGE = (Path(__file__).parents[2] / "docs" / "paddle.md").read_text(encoding="utf-8")


def test_the_page() -> None:
    test = doctest.DocTestParser().get_doctest(PAGE.replace("```", ""), {}, "paddle", "docs/paddle.md", 0)
    shown: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(test, out=shown.append)
    assert not shown, "".join(shown)
