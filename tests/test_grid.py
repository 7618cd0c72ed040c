from __future__ import annotations

import pytest

from fanin.grid import Grid, plain

HEADERS = ["layer", "module", "E[x²]", "‖δ‖²", "saturated", "source"]
ROWS = [[str(i), f"blocks.{i}.mlp.down", f"{i}.20e-07", f"{i}.80e-21", "–", f"network.py:{i}"] for i in range(9)]
JUSTIFY = ["right", "left", "right", "right", "right", "left"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_no_cell_loses_a_character_however_narrow_the_terminal(width: int) -> None:
    text = plain(Grid(HEADERS, ROWS, JUSTIFY), width)  # type: ignore[arg-type]  # literals in a list
    words = text.split()
    for cell in [*HEADERS, *(cell for row in ROWS for cell in row)]:
        assert cell in words
    assert all(len(line) <= width for line in text.splitlines())


def test_a_wide_terminal_gets_one_table() -> None:
    text = plain(Grid(HEADERS, ROWS, JUSTIFY), 120)  # type: ignore[arg-type]
    assert len(text.splitlines()) == len(ROWS) + 2


def test_sentences_move_below_where_they_would_not_be_read() -> None:
    sentence = "feeds relu: gain 1/√E[φ²] = 1.414 gives back what it takes"
    grid = Grid(["parameter", "std", "why"], [["hidden.0.weight", "0.1", sentence]], ["left", "right", "left"])
    assert plain(grid, 100).splitlines()[0].split() == ["parameter", "std", "why"]
    assert plain(grid, 40).splitlines()[0].split() == ["parameter", "std"]
    assert sentence.split() == plain(grid, 40).split()[-len(sentence.split()) :]


@pytest.mark.parametrize("width", [60, 110])
def test_every_row_begins_with_its_name_however_long(width: int) -> None:
    """Mutant: a long name is taken for a sentence, and put below the numbers that it names."""
    name = "encoder.layers.some_submodule.attention.projection.weight"
    grid = Grid(
        ["parameter", "std", "why"], [[name, "0.125", "a sentence that is long " * 3]], ["left", "right", "left"]
    )
    first, rule, printed, *_ = plain(grid, width).splitlines()
    assert first.split()[:2] == ["parameter", "std"]
    assert name.startswith(printed.split()[0])
    assert "0.125" in printed.split()
    assert set(rule) == {"─"}
