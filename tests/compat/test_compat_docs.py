"""docs/compat.md is true: what stands there for PyTorch is what is printed."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "compat.md"


def test_the_examples_for_torch_print_what_stands_there() -> None:
    _, _, after = PAGE.read_text(encoding="utf-8").partition("\n## PyTorch\n")
    section, _, _ = after.partition("\n## ")
    examples = doctest.DocTestParser().get_doctest(section, {}, PAGE.name, str(PAGE), 0)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
