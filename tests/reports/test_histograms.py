from __future__ import annotations

import numpy as np
import pytest

from fanin.reports.formats import shown
from fanin.reports.histograms import HEIGHT, characters, in_words, outline
from fanin.signals import Histogram


def of(values: list[float], bins: int = 40, reach: float = 4.0) -> Histogram:
    counts, _ = np.histogram(values, bins, (-reach, reach))
    return Histogram(-reach, reach, tuple(map(int, counts)))


def heights(path: str) -> list[float]:
    """What the path draws: the height of each bin."""
    found: list[float] = []
    for step in path.removeprefix(f"M0 {HEIGHT}V").removesuffix(f"V{HEIGHT}z").split("V"):
        top, _, width = step.partition("h")
        found += [HEIGHT - float(top)] * int(width)
    return found


def test_the_outline_has_a_height_for_every_bin() -> None:
    """Mutant: heights in proportion to the counts."""
    histogram = Histogram(-1.0, 1.0, (0, 1, 4, 16, 16, 4, 0, 0))
    assert heights(outline(histogram)) == [0, 4, 8, 16, 16, 8, 0, 0]


def test_the_zeros_of_a_relu_leave_its_other_values_to_be_seen() -> None:
    z = np.random.default_rng(0).standard_normal(10_000)
    seen = heights(outline(of(list(np.maximum(z, 0)))))
    assert max(seen) == HEIGHT
    assert seen[25] >= 3  # 7 % of what lies in the tallest bin


def test_the_middle_half_of_a_gaussian_is_said() -> None:
    z = np.random.default_rng(0).standard_normal(100_000)
    low, high = (float(word) for word in in_words(of(list(z))).removeprefix("±4, half between ").split(" and "))
    assert low == pytest.approx(-0.674, abs=0.02)  # Φ⁻¹(¾); 100,000 draws know it to 0.003, a bin is 0.2 wide
    assert high == pytest.approx(0.674, abs=0.02)


@pytest.mark.parametrize(("counts", "row"), [((0,) * 40, " " * 20), ((1,) * 40, "█" * 20), ((7,), "█")])
def test_rows_of_characters(counts: tuple[int, ...], row: str) -> None:
    assert characters(Histogram(-1.0, 1.0, counts)) == row


def test_a_bin_with_one_value_is_never_invisible() -> None:
    assert characters(Histogram(-1.0, 1.0, (1, 1_000_000)), 2) == "▁█"


def test_in_a_cell_it_is_a_row_and_a_range() -> None:
    assert shown(Histogram(-0.5, 0.5, (1, 4)), "histogram") == "▄█ ±0.5"
