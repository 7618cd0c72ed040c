"""The blocks that are drawn: lines over depth or time, and a quantity over a plane."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from fanin.errors import BadInput
from fanin.reports.values import Format, Severity

Point: TypeAlias = tuple[float, float | None, float | None, float | None]


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
class Mark:
    """A place on the x axis where something starts, with a label as short as a code and a text that says what."""

    x: float
    label: str
    text: str
    severity: Severity


@dataclass(frozen=True)
class LinePlot:
    """Lines over a common x axis.

    Args:
        y_range: Of the y axis; by default it spans what is drawn.
        marks: Where something starts, as upright lines.
        places: What stands at an x, such as the module of a layer, for whoever points at it.

    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log_y: bool = False
    x_integer: bool = False
    caption: str = ""
    y_range: tuple[float, float] | None = None
    marks: Sequence[Mark] = ()
    places: Mapping[float, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "marks", tuple(sorted(self.marks, key=lambda mark: mark.x)))

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
    `x_names` and `y_names` stand at the places in the stead of numbers, as of recipes, which have no order.

    Raises:
        BadInput: rows, columns or names are missing, or x or y has less than two places or does not rise.

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
    x_names: Sequence[str] = ()
    y_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        for key in ("x", "y"):
            places, names = tuple(float(v) for v in getattr(self, key)), tuple(getattr(self, f"{key}_names"))
            object.__setattr__(self, key, places)
            object.__setattr__(self, f"{key}_names", names)
            if len(places) < (1 if names else 2) or any(b <= a for a, b in pairwise(places)):
                raise BadInput(f"Heat map {self.title!r} needs at least two rising values of {key}; got {places[:5]}.")
            if names and len(names) != len(places):
                raise BadInput(f"Heat map {self.title!r} needs a name for each of {len(places)} {key}; got {names}.")
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
