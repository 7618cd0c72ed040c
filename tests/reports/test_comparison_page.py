"""The report of a comparison: the prediction as a line with its band, the measurement as points."""

from __future__ import annotations

import json

import pytest

from fanin.reports import to_html, to_json, to_text
from fanin.reports.comparison_page import comparison_page, gradients_over_depth, values_over_depth
from fanin.signals import Comparison, Pair, Row

SEEN = Comparison(
    "Net",
    (
        Row("linear", "linear", "0", "net.py:3", Pair(1.0, 1.1, (0.5, 2.0)), Pair(4.0, 2.0)),
        Row("relu", "relu", "1", "", Pair(0.5, 0.6, (0.2, 1.0)), Pair(0.0, 1e-30, zero=True)),
        Row("linear_1", "linear", "2", "", Pair(1.0, 1.0, None), None),
    ),
    (Row("0.weight", "linear", "0", "net.py:3", gradient=Pair(1.0, 8.0)),),
    Pair(4.0, 2.0),
    {"relu": "relu has no rule"},
    (),
)


def test_the_prediction_is_a_line_with_its_band_and_the_measurement_points() -> None:
    plot = values_over_depth(SEEN)
    predicted, measured = plot.series
    assert plot.log_y
    assert predicted.low == (0.5, 0.2, None)
    assert predicted.high == (2.0, 1.0, None)
    assert (predicted.dots, measured.dots) == (False, True)
    assert measured.y == (1.1, 0.6, 1.0)


def test_rounding_and_nodes_without_a_gradient_are_not_drawn() -> None:
    predicted, measured = gradients_over_depth(SEEN).series
    assert (predicted.x, measured.y, predicted.low) == ((1.0,), (2.0,), None)


def test_the_page_says_the_same_as_text_json_and_html() -> None:
    page = comparison_page(SEEN, {"seeds": 8}, "fanin")
    text = to_text(page, width=120, color=False)
    assert "Gradient at the first layer: × 2." in text
    assert "1 node run on a sample for want of a rule." in text
    assert text.index("parameter gradient") < text.index("net.py:3")
    data = json.loads(to_json(page), parse_constant=pytest.fail)
    assert [section["title"] for section in data["sections"]] == ["Over all nodes", "Over depth", "Furthest off"]
    assert '"dots":true' in to_html(page).replace("&#34;", '"')
