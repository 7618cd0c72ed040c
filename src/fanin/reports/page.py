"""The blocks a report is made of: plain data, with no word about models, files or colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fanin.errors import BadInput
from fanin.reports.plots import HeatMap, LinePlot, Mark, Point, Series
from fanin.reports.values import Align, Format, Severity, Tone, Value

__all__ = [
    "Align",
    "Block",
    "Column",
    "FindingRow",
    "Findings",
    "Format",
    "HeatMap",
    "LinePlot",
    "Mark",
    "Page",
    "Point",
    "Section",
    "Series",
    "Severity",
    "SideBySide",
    "Table",
    "Text",
    "Tone",
    "Value",
]


@dataclass(frozen=True)
class Text:
    """A paragraph, taken literally; an empty line starts a new paragraph."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand to the right and are printed in `format`; strings stay as they are.

    A column of format "histogram" has small drawings of how something is spread, sorted by how far they reach. `minor`
    columns are left out in the terminal, where width is dear.
    """

    name: str
    format: Format = "text"
    align: Align | None = None
    minor: bool = False

    @property
    def alignment(self) -> Align:
        """The side its cells stand on."""
        return self.align or ("left" if self.format in ("text", "histogram") else "right")


@dataclass(frozen=True)
class Table:
    """Rows of values, one for each column; `None` is an empty cell. In a browser it is sorted, and searched when long.

    Args:
        title: None is needed where it is all that its section has.
        brief: In the terminal, at most so many rows, evenly chosen; 0 is all.

    Raises:
        BadInput: a row has more or fewer values than there are columns.

    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    notes: Sequence[str] = ()
    brief: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        object.__setattr__(self, "notes", tuple(self.notes))
        wrong = [n for n, row in enumerate(self.rows) if len(row) != len(self.columns)]
        if wrong:
            raise BadInput(
                f"Table {self.title!r} has {len(self.columns)} columns, but row {wrong[0]} has "
                f"{len(self.rows[wrong[0]])} values. Give every row one value for each column (None for an empty cell)."
            )


@dataclass(frozen=True)
class FindingRow:
    """One thing found, or one check passed ("ok"). Empty fields are not shown.

    Args:
        also: What else has it.
        explain: A page on findings of this code, in Markdown, to fold out.

    """

    code: str
    severity: Severity
    title: str
    where: str = ""
    what: str = ""
    why: str = ""
    remedy: str = ""
    also: str = ""
    explain: str = ""


@dataclass(frozen=True)
class Findings:
    """A list of findings, shown in the order given, and counted at the top of the page unless they are of the past."""

    items: Sequence[FindingRow]
    counted: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))


@dataclass(frozen=True)
class SideBySide:
    """Two columns of blocks to compare, as before and after a repair.

    Line plots at the same height with the same y label share their y axis, so that the eye compares like with like.
    """

    left_title: str
    left_blocks: Sequence[Block]
    right_title: str
    right_blocks: Sequence[Block]

    def __post_init__(self) -> None:
        object.__setattr__(self, "left_blocks", tuple(self.left_blocks))
        object.__setattr__(self, "right_blocks", tuple(self.right_blocks))


Block: TypeAlias = Text | Table | LinePlot | HeatMap | Findings | SideBySide


@dataclass(frozen=True)
class Section:
    """A titled part of a page; an `aside` is only named in the terminal."""

    title: str
    blocks: Sequence[Block]
    intro: str = ""
    aside: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))


@dataclass(frozen=True)
class Page:
    """A whole report.

    Args:
        title: What the report is about.
        subtitle: One line below the title.
        sections: The parts, in reading order.
        facts: How it came about: machine, versions, command, seconds.
        generated_by: The program and version that wrote it.
        summary: The conclusion in a sentence or two, shown first. Findings of the sections are counted and listed
            below it; those inside a SideBySide are not, because one of the sides is the past.

    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    facts: Mapping[str, Value] = field(default_factory=dict)
    generated_by: str = ""
    summary: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", tuple(self.sections))

    def findings(self) -> tuple[FindingRow, ...]:
        """The findings that are counted: those of the sections themselves."""
        blocks = (block for section in self.sections for block in section.blocks)
        counted = (block for block in blocks if isinstance(block, Findings) and block.counted)
        return tuple(row for block in counted for row in block.items)
