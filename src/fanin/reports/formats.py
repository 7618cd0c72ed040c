"""Values and counts as a reader sees them, the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from fanin.reports.page import FindingRow, Format, Severity, Value

NOTHING = "–"
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
    if not math.isfinite(value):
        return str(float(value))
    return f"{value:{_spec(value, style)}}"


def _spec(value: float, style: Format) -> str:
    whole = value == int(value) and abs(value) < 1e9  # a step of 12345 stays one, where .4g would round it
    plain = ".0f" if whole else ".4g"
    return {"scientific": ".2e" if value else ".0f", "percent": ".1%", "integer": ",.0f"}.get(style, plain)


def counts(findings: Iterable[FindingRow]) -> str:
    """How many of each severity, worst first.

    >>> counts([FindingRow("A1", "ok", "fine"), FindingRow("B2", "error", "bad"), FindingRow("A2", "ok", "fine")])
    '1 error, 2 checks passed'
    """
    tally = Counter(row.severity for row in findings)
    return ", ".join(f"{tally[s]} {one if tally[s] == 1 else many}" for s, (one, many) in WORDS.items() if tally[s])
