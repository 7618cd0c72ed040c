"""Values and counts as a reader sees them, the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from fanin.reports.histograms import characters, span
from fanin.reports.page import FindingRow, Format, Severity, Value
from fanin.signals import Histogram

NOTHING = "–"
SIGNS: Final[Mapping[Severity, str]] = {"error": "✗", "warning": "!", "note": "·", "ok": "✓"}  # worst first
FIELDS: Final = ("where", "what", "why", "also", "remedy")  # of a finding, in the order in which they are read
WORDS: dict[Severity, tuple[str, str]] = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "note": ("note", "notes"),
    "ok": ("check passed", "checks passed"),
}


def shown(value: Value, style: Format = "text") -> str:
    """`value` for reading: 3.20e-07 (scientific), 0.1235 (number), 12,345 (integer), 12.3% (percent).

    >>> shown(3.2e-7, "scientific"), shown(0.12345, "number"), shown(12345, "integer"), shown(None), shown(math.inf)
    ('3.20e-07', '0.1235', '12,345', '–', 'inf')
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, Histogram):
        return f"{characters(value)} {span(value)}"
    if not math.isfinite(value):
        return str(float(value))
    return f"{value:{_spec(value, style)}}"


def _spec(value: float, style: Format) -> str:
    whole = value == int(value) and abs(value) < 1e9  # a step of 12345 stays one, where .4g would round it
    plain = ".0f" if whole else ".4g"
    return {"scientific": ".2e" if value else ".0f", "percent": ".1%", "integer": ",.0f"}.get(style, plain)


def evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of 0 … count - 1, the first and the last among them, as evenly spread as they can be.

    >>> evenly(5, 9), evenly(101, 5)
    ([0, 1, 2, 3, 4], [0, 25, 50, 75, 100])
    """
    places = min(count, limit)
    return list(range(count)) if places < 2 else [round(i * (count - 1) / (places - 1)) for i in range(places)]


def counts(findings: Iterable[FindingRow]) -> str:
    """How many of each severity, worst first.

    >>> counts([FindingRow("A1", "ok", "fine"), FindingRow("B2", "error", "bad"), FindingRow("A2", "ok", "fine")])
    '1 error, 2 checks passed'
    """
    tally = Counter(row.severity for row in findings)
    return ", ".join(f"{tally[s]} {one if tally[s] == 1 else many}" for s, (one, many) in WORDS.items() if tally[s])
