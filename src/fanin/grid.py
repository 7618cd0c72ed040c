"""A table in the terminal: names and numbers stay on one line, sentences fold, and a narrow screen puts them below."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SENTENCE = 30  # a cell longer than this is a sentence
GAP = 2  # columns between two cells
ROOM = 26  # columns below which a folded sentence is no pleasure to read


@dataclass(frozen=True)
class Grid:
    """Rows of text under headers; rich prints it as wide as the console is."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    justify: Sequence[Literal["left", "right"]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        every = range(len(self.headers))
        sentences = [c for c in every if c and any(len(row[c]) > SENTENCE for row in self.rows)]
        short = [c for c in every if c not in sentences]
        if sum(map(self._width, short)) + (ROOM + GAP) * len(sentences) <= options.max_width:
            yield self._table(every, sentences)
            return
        for columns in self._pages(short, options.max_width):
            yield self._table(columns, sentences=[], names=max(options.max_width // 2, 1))
        for c in sentences:
            below = Table.grid(padding=(0, GAP, 0, 0))
            below.add_column(overflow="fold", max_width=max(options.max_width // 2, 1))
            for row in self.rows:
                below.add_row(Text(row[0]), Text(row[c]))
            yield Text(self.headers[c], "bold")
            yield Padding(below, (0, 0, 0, 2))

    def _pages(self, columns: Sequence[int], room: int) -> Iterator[list[int]]:
        """The columns in groups that fit, each led by the first: a number is never cut to make a table narrower."""
        first, page = columns[0], [columns[0]]
        names = min(self._width(first), room // 2)
        for c in columns[1:]:
            if len(page) > 1 and names + sum(map(self._width, [*page[1:], c])) > room:
                yield page
                page = [first]
            page.append(c)
        yield page

    def _width(self, column: int) -> int:
        return max(cell_len(text) for text in (self.headers[column], *(row[column] for row in self.rows))) + GAP

    def _table(self, columns: Sequence[int], sentences: Sequence[int], names: int | None = None) -> Table:
        """Names, which come first, fold where they are wider than is left to them."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for c in columns:
            room = names if c == 0 and names is not None and self._width(0) > names else None
            table.add_column(
                Text(self.headers[c]),
                justify=self.justify[c],
                overflow="fold",
                no_wrap=c not in sentences and room is None,
                max_width=room,
            )
        for row in self.rows:
            table.add_row(*(Text(row[c]) for c in columns))
        return table


def plain(view: RenderableType, width: int = 110) -> str:
    """What rich would print, without colour and trailing spaces."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(view)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
