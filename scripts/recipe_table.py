"""The table of docs/recipes.md, from the docstrings: `python scripts/recipe_table.py [--write]`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from fanin.plans import RECIPES

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
BEGIN, END = "<!-- begin table -->\n", "<!-- end table -->"


def table() -> str:
    """A row for each function in `RECIPES`."""
    rows = ["| name | what | for | not for | source |", "|---|---|---|---|---|"]
    for recipe in dict.fromkeys(RECIPES.values()):
        doc = inspect.getdoc(recipe) or ""
        first = " ".join(doc.partition("\n\n")[0].split())
        cells = (names(recipe), first, *(section(doc, title) for title in ("For", "Not for", "Reference")))
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def names(recipe: object) -> str:
    """As it is spelled with its defaults, and its other names."""
    known = [name for name, what in RECIPES.items() if what is recipe]
    first, *others = sorted(known, key=lambda name: name != getattr(recipe, "__name__", name))
    given = [p for p in inspect.signature(RECIPES[first]).parameters.values() if p.default is not p.empty]
    call = f"({', '.join(f'{p.name}={p.default}' for p in given)})" if given else ""
    return f"`{first}{call}`" + "".join(f", `{other}`" for other in others)


def section(doc: str, title: str) -> str:
    """The paragraph that begins with `title:`."""
    found = re.search(rf"^{title}: (.*?)(?=\n\n|\n[A-Z][a-z ]+:|\Z)", doc, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()).rstrip(".") if found else ""


def page(text: str) -> str:
    """The page with the present table."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    else:
        print(table())
