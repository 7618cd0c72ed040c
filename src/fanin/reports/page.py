"""The blocks a report is made of: plain data, with no word about models, files or colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

from fanin.errors import BadInput

Value: TypeAlias = str | int | float | None
Format: TypeAlias = Literal["text", "integer", "number", "scientific", "percent"]
Align: TypeAlias = Literal["left", "right"]
Tone: TypeAlias = Literal["plain", "good", "warn", "bad"]
Severity: TypeAlias = Literal["error", "warning", "note", "ok"]
Point: TypeAlias = tuple[float, float | None, float | None, float | None]


@dataclass(frozen=True)
class Text:
    """A paragraph, taken literally; an empty line starts a new paragraph."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Column:
    """A column of a table: numbers stand to the right and are printed in `format`; strings stay as they are."""

    name: str
    format: Format = "text"
    align: Align | None = None

    @property
    def alignment(self) -> Align:
        """The side its cells stand on."""
        return self.align or ("left" if self.format == "text" else "right")


@dataclass(frozen=True)
class Table:
    """Rows of values, one for each column; `None` is an empty cell.

    Raises:
        BadInput: a row has more or fewer values than there are columns.

    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    notes: Sequence[str] = ()

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
class Series:
    """A line through (x, y), with a band from `low` to `high` if both are given.

    `None`, nan, inf, and on a log axis 0 and negative values are gaps: the line stops there, and the caption says so.
    Series of one `group` share a colour and differ by their dashes, as the training and validation curves of one run.
    `dots` draws the points alone, with no line through them.

    Raises:
        BadInput: the lengths differ, or only one side of the band is given.

    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    emphasis: bool = False
    group: str = ""
    dots: bool = False

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise BadInput(f"Series {self.name!r} has one side of its band only. Give both low and high, or neither.")
        for key in ("x", "y", "low", "high"):
            values = getattr(self, key)
            if values is not None:
                object.__setattr__(self, key, tuple(None if v is None else float(v) for v in values))
        lengths = {key: len(getattr(self, key)) for key in ("x", "y", "low", "high") if getattr(self, key) is not None}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{key} has {n}" for key, n in lengths.items())
            raise BadInput(f"Series {self.name!r} needs as many values in each list, but {found}.")
        if not all(x is not None and math.isfinite(x) for x in self.x):
            raise BadInput(f"Series {self.name!r} has an x that is not finite. Give every point a place on the x axis.")

    def points(self) -> Iterator[Point]:
        """Every point as (x, y, low, high)."""
        nothing = (None,) * len(self.x)
        return zip(self.x, self.y, self.low or nothing, self.high or nothing, strict=True)


@dataclass(frozen=True)
class LinePlot:
    """Lines over a common x axis. `y_range` fixes the y axis; by default it spans what is drawn."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_y: bool = False
    x_integer: bool = False
    caption: str = ""
    y_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(self.series))

    @property
    def x_format(self) -> Format:
        """How a value of the x axis is printed."""
        return "integer" if self.x_integer else "number"

    @property
    def y_format(self) -> Format:
        """How a value of the y axis is printed."""
        return "scientific" if self.log_y else "number"


@dataclass(frozen=True)
class HeatMap:
    """A positive quantity over a plane: colour says how far it lies above or below `centre`, in ratios.

    Colours are full at `reach` times the centre, or where the values end if that is nearer. Values have a row for
    each y and a column for each x; those that are not finite are grey, and `beyond` says why. `line` is drawn over it.

    Raises:
        BadInput: rows or columns are missing, or x or y has less than two places or does not rise.

    """

    title: str
    x_label: str
    y_label: str
    value_label: str
    x: Sequence[float]
    y: Sequence[float]
    values: Sequence[Sequence[float]]
    centre: float = 1.0
    reach: float = math.inf
    line: Series | None = None
    beyond: str = "no value"
    caption: str = ""

    def __post_init__(self) -> None:
        for key in ("x", "y"):
            places = tuple(float(v) for v in getattr(self, key))
            object.__setattr__(self, key, places)
            if len(places) < 2 or any(b <= a for a, b in pairwise(places)):
                raise BadInput(f"Heat map {self.title!r} needs at least two rising values of {key}; got {places[:5]}.")
        object.__setattr__(self, "values", tuple(tuple(float(v) for v in row) for row in self.values))
        if len(self.values) != len(self.y) or any(len(row) != len(self.x) for row in self.values):
            raise BadInput(
                f"Heat map {self.title!r} needs {len(self.y)} rows of {len(self.x)} values; "
                f"got {len(self.values)} rows of {sorted({len(row) for row in self.values})}."
            )

    def extent(self) -> float:
        """How far the colours reach: the largest |ln(value/centre)|, or ln(reach)."""
        drawn = (abs(math.log(v / self.centre)) for row in self.values for v in row if math.isfinite(v) and v > 0)
        return min(max(drawn, default=0.0), math.log(self.reach))


@dataclass(frozen=True)
class FindingRow:
    """One thing found, or one check passed ("ok"). Empty fields are not shown."""

    code: str
    severity: Severity
    title: str
    where: str = ""
    why: str = ""
    evidence: str = ""
    remedy: str = ""


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
    """A titled part of a page."""

    title: str
    blocks: Sequence[Block]
    intro: str = ""

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
