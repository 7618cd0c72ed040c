from __future__ import annotations

import math

import numpy as np
import pytest

from fanin.errors import BadInput
from fanin.reports import Column, FindingRow, Findings, Page, Section, Series, SideBySide, Table


def test_a_series_takes_arrays_and_keeps_plain_floats() -> None:
    series = Series("q", range(3), np.array([1, 2, 3], dtype=np.float32).tolist())
    assert list(series.points()) == [(0.0, 1.0, None, None), (1.0, 2.0, None, None), (2.0, 3.0, None, None)]


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="x has 3, y has 2"):
        Series("q", range(3), [1, 2])


def test_half_a_band_is_refused() -> None:
    with pytest.raises(BadInput, match="one side"):
        Series("q", range(2), [1, 2], low=[0, 1])


def test_x_must_be_finite() -> None:
    with pytest.raises(BadInput, match="not finite"):
        Series("q", [0, math.nan], [1, 2])


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="2 columns, but row 1 has 1 values"):
        Table("t", [Column("a"), Column("b")], [(1, 2), (3,)])


def test_numbers_stand_right_and_words_left() -> None:
    assert Column("layer").alignment == "left"
    assert Column("std", "scientific").alignment == "right"
    assert Column("code", align="right").alignment == "right"


def test_findings_of_the_past_are_not_counted() -> None:
    past, present = FindingRow("A", "error", "was bad"), FindingRow("B", "ok", "is good")
    sides = SideBySide("Before", [Findings([past])], "After", [])
    assert Page("t", "", [Section("s", [sides, Findings([present])])]).findings() == (present,)
