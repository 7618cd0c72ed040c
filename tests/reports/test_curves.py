from __future__ import annotations

import math

import pytest

from fanin.reports import LinePlot, Series, SideBySide
from fanin.reports.curves import (
    TABLE_ROWS,
    data_table,
    description,
    drawn_points,
    gap_note,
    paired,
    resampled,
    styles,
    thinned,
    y_range,
)


def plot(*series: Series, log_y: bool = True) -> LinePlot:
    return LinePlot("Signal", "layer", "E[x²]", series, log_y=log_y, x_integer=True)


def line(*y: float | None) -> Series:
    return Series("q", range(len(y)), y)


@pytest.mark.parametrize(
    ("y", "note"),
    [
        ((1, 2, 3), ""),
        ((1, math.inf, math.inf), "Not drawn: q from layer 1 on (beyond 1e308)."),
        ((1, 0, 3), "Not drawn: q at layer 1 (0)."),
        ((1, -1, -1, 4), "Not drawn: q from layer 1 to 2 (negative)."),
        ((1, None, 3, None, 5), "Not drawn: q at 2 points from layer 1 to 3 (no value)."),
        ((math.nan, math.nan), "Not drawn: q anywhere (nan)."),
        ((1, math.nan, math.inf), "Not drawn: q at layer 1 (nan); q from layer 2 on (beyond 1e308)."),
    ],
)
def test_every_gap_is_named(y: tuple[float | None, ...], note: str) -> None:
    assert gap_note(plot(line(*y))) == note


def test_zero_is_a_gap_on_a_log_axis_only() -> None:
    assert drawn_points(line(0), log_y=True) == [(0.0, None, None, None)]
    assert drawn_points(line(0), log_y=False) == [(0.0, 0.0, None, None)]


def test_a_band_needs_both_sides_on_the_axis() -> None:
    series = Series("q", range(2), [1, 1], low=[0.5, 0], high=[2, 2])
    assert [point[2:] for point in drawn_points(series, log_y=True)] == [(0.5, 2.0), (None, None)]


def test_the_axis_spans_lines_and_bands() -> None:
    assert y_range(plot(Series("q", range(2), [1, 2], [0.5, 1], [2, 4]))) == (0.5, 4.0)
    assert y_range(plot(line(0, math.inf))) is None


def test_pairs_share_their_axis() -> None:
    both = paired(SideBySide("Before", [plot(line(1, 1e30))], "After", [plot(line(1, 0.5))]))
    assert [b.y_range for b in (*both.left_blocks, *both.right_blocks) if isinstance(b, LinePlot)] == [(0.5, 1e30)] * 2


def test_unlike_pairs_keep_their_own_axes() -> None:
    both = paired(SideBySide("Before", [plot(line(1, 1e30))], "After", [plot(line(1, 0.5), log_y=False)]))
    assert [b.y_range for b in (*both.left_blocks, *both.right_blocks) if isinstance(b, LinePlot)] == [None, None]


def test_no_two_lines_look_alike() -> None:
    runs = [Series(f"{run}, {split}", [0], [1], group=run) for run in ("he", "auto") for split in ("train", "test")]
    looks = styles(plot(*runs, Series("alone", [0], [1])))
    assert looks == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]


def test_thinning_keeps_spikes_gaps_and_ends() -> None:
    y: list[float | None] = [1.0] * 10_000
    y[1234], y[5678], y[7777] = 9.0, None, 0.1
    points = thinned(list(line(*y).points()), 300)
    assert len(points) <= 310
    assert {1234.0, 5678.0, 7777.0, 0.0, 9999.0} <= {x for x, *_ in points}
    assert points == sorted(points)


def test_long_data_tables_are_cut_and_say_so() -> None:
    table = data_table(plot(line(*range(1, 1001))))
    assert len(table.rows) == TABLE_ROWS
    assert table.notes == ("Every 5th of 1000 rows.",)


def test_the_words_tell_where_each_line_goes() -> None:
    assert description(plot(line(1, 0.5, 0), Series("none", [0], [None]))) == (
        "Signal. Line plot of E[x²] (logarithmic axis) over layer. "
        "q goes from 1.00e+00 at layer 0 to 5.00e-01 at layer 1; none has nothing to draw."
    )


def test_rows_of_characters_average_decades() -> None:
    assert resampled(list(line(1, 100, None, None).points()), 2, log_y=True) == [1.0, None]
