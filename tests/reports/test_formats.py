from __future__ import annotations

import math

import pytest

from fanin.reports.formats import shown
from fanin.reports.page import Format, Value


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.0, "scientific", "0"),
        (1e-320, "scientific", "1.00e-320"),
        (-math.inf, "percent", "-inf"),
        (math.nan, "integer", "nan"),
        (12345.0, "number", "12345"),
        (1e300, "number", "1e+300"),
        (10**400 // 10**390, "integer", "10,000,000,000"),
        ("n/a", "percent", "n/a"),
        (0.5, "percent", "50.0%"),
    ],
)
def test_shown(value: Value, style: Format, text: str) -> None:
    assert shown(value, style) == text
