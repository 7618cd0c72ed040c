"""What docs/compat.md shows is what one gets."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "compat.md").read_text(encoding="utf-8")
SECTIONS = [("PyTorch", "torch"), ("Keras", "keras"), ("Paddle", "paddle"), ("NumPy", "numpy")]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # see test_compat_keras.py
@pytest.mark.parametrize(("section", "framework"), SECTIONS)
def test_the_examples_print_what_stands_there(section: str, framework: str) -> None:
    pytest.importorskip(framework, reason=f"{section} is not installed", exc_type=ImportError)
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0].replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, section, "docs/compat.md", 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.attempted
    assert not result.failed, "".join(said)
