"""The tables of docs/initializers.md, from the literals: `python scripts/initializer_table.py [--write]`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from fanin.initializers import ALIASES, ALL

PAGE = Path(__file__).parent.parent / "docs" / "initializers.md"
BEGIN, END = "<!-- begin table -->\n", "<!-- end table -->"


def table() -> str:
    """A row for each line of `ALL`."""
    rows = ["| name | what | source | not for |", "|---|---|---|---|"]
    for name, what in ALL.items():
        doc = inspect.getdoc(what) or ""
        also = [alias for alias, meant in ALIASES.items() if meant == name]
        names = f"`{_call(name, what)}`" + (f"<br>also {', '.join(f'`{a}`' for a in also)}" if also else "")
        first, source = _cited(doc.partition("\n\n")[0])
        cells = (names, first, _section(doc, "Reference") or source, _section(doc, "Not for"))
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _call(name: str, what: object) -> str:
    parameters = inspect.signature(what).parameters.values()  # type: ignore[arg-type]  # all are callable
    return f"{name}({', '.join(p.name for p in parameters)})" if parameters else name


def _cited(text: str) -> tuple[str, str]:
    """One line without the citation in parentheses at its end, and that citation."""
    line = " ".join(text.split())
    found = re.fullmatch(r"(.*) \(([^()]*\b(?:19|20)\d\d[^()]*)\)\.", line)
    return (f"{found[1]}.", found[2]) if found else (line, "")


def _section(doc: str, title: str) -> str:
    """The paragraph that begins with `title:`."""
    found = re.search(rf"^{title}: (.*?)(?=\n\n|\n[A-Z][a-z ]+:|\Z)", doc, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def page(text: str) -> str:
    """The page with the present table."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    else:
        print(table())
