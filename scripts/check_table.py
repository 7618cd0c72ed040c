"""The page docs/checks.md, from the checks' own words: `python scripts/check_table.py [--write]`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from fanin.diagnosis import CHECKS, Check

PAGE: Final = Path(__file__).parent.parent / "docs" / "checks.md"
BEGIN, END = "<!-- begin checks -->\n", "<!-- end checks -->\n"
FAMILIES: Final = {
    "F": "forward signals",
    "B": "backward signals",
    "A": "attention",
    "U": "units",
    "W": "weights and their laws",
    "L": "loss and logits",
    "N": "numbers and dtypes",
    "D": "data",
    "P": "parameters",
}


def by_family() -> list[Check]:
    """In the order of the families, then of the codes."""
    families = list(FAMILIES)
    return sorted(CHECKS.values(), key=lambda check: (families.index(check.code[0]), check.code))


def table() -> str:
    """A row for each check."""
    rows = ["| code | name | what | needs | another start helps |", "|---|---|---|---|---|"]
    for check in by_family():
        cells = (
            f"[{check.code}](#{anchor(check)})",
            check.name,
            check.summary.rstrip("."),
            check.needs or "a graph and its signals",
            "yes" if check.remedy else "no",
        )
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def pages() -> str:
    """What `fanin explain CODE` prints; checks that share a page share it here."""
    parts = []
    for family, checks in groupby(by_family(), lambda check: check.code[0]):
        parts.append(f"## {family}: {FAMILIES[family]}\n")
        parts += [page(list(same)) for _, same in groupby(sorted_by_page(checks), lambda check: check.page)]
    return "\n".join(parts)


def sorted_by_page(checks: Iterable[Check]) -> list[Check]:
    """Those of one page side by side, where the first of them stands."""
    listed = list(checks)
    order = [check.page for check in listed]
    return sorted(listed, key=lambda check: order.index(check.page))


def page(checks: list[Check]) -> str:
    """One page under the names of all that it is of, a level below the family's heading."""
    names = "\n".join(f"### {check.code} {check.name}\n" for check in checks)
    return f"{names}\n{re.sub(r'^## ', '#### ', checks[0].page.strip(), flags=re.MULTILINE)}\n"


def anchor(check: Check) -> str:
    """As GitHub makes it of the heading."""
    return re.sub(r"[^\w\- ]", "", f"{check.code} {check.name}".lower()).replace(" ", "-")


def document(text: str) -> str:
    """The page with the present checks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table()}\n{pages()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(document(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    else:
        print(table())
