"""A page as one HTML file that opens anywhere, offline, with the plotting library inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from typing import TypedDict

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from fanin.reports.curves import (
    data_table,
    description,
    drawn_points,
    gap_note,
    mark_note,
    paired,
    styles,
    thinned,
    y_range,
)
from fanin.reports.formats import FIELDS, SIGNS, counts, shown
from fanin.reports.heat import heat_data, heat_table
from fanin.reports.histograms import HEIGHT, in_words, outline, reach, span
from fanin.reports.markdown import html
from fanin.reports.page import Block, LinePlot, Page, Severity, SideBySide, Value
from fanin.signals import Histogram

POINTS_PER_LINE = 1000  # as many as a wide screen shows
POINTS_PER_PAGE = 20_000  # keeps the file below 2 MB, of which the library takes 1.1
SCRIPTS = ("echarts.min.js", "page.js")
MARK_LABELS = 2  # at one place of a plot; pointing at it names the others


class SeriesData(TypedDict):
    """What the page's script is told of a series. A point is [x, y] or [x, y, low, high]; null is a gap."""

    name: str
    colour: int
    dash: int
    emphasis: bool
    dots: bool
    points: list[list[float | None]]


class MarkData(TypedDict):
    """What the page's script is told of the marks at one x: the worst severity, and all of their labels and texts."""

    x: float
    label: str
    severity: Severity
    texts: list[str]


class PlotData(TypedDict):
    """What the page's script is told of a plot."""

    x_label: str
    y_label: str
    log_y: bool
    x_integer: bool
    y_range: tuple[float, float]
    description: str
    series: list[SeriesData]
    marks: list[MarkData]
    places: list[tuple[float, str]]


def to_html(page: Page) -> str:
    """The page as one self-contained HTML document.

    It makes no request, and its Content-Security-Policy lets it make none and run no script but its own. It follows
    the reader's light or dark scheme, prints, and without JavaScript still shows all tables, findings and numbers.
    """
    plots = sum(len(plot.series) for section in page.sections for plot in _plots(section.blocks))
    limit = max(50, min(POINTS_PER_LINE, POINTS_PER_PAGE // max(plots, 1)))
    anchors = {id(row): f"finding-{n}" for n, row in enumerate(page.findings(), 1)}
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            findings=page.findings(),
            counts=counts(page.findings()),
            anchor=lambda row: anchors.get(id(row), ""),
            plot_data=lambda plot: plot_data(plot, limit),
            script_hashes=Markup(" ").join(_hash(asset(name)) for name in SCRIPTS),
        )
    )


def plot_data(plot: LinePlot, limit: int = POINTS_PER_LINE) -> PlotData | None:
    """The plot for the page's script; None if there is nothing to draw."""
    extent = y_range(plot)
    if extent is None:
        return None
    series = [
        SeriesData(
            name=one.name,
            colour=colour,
            dash=dash,
            emphasis=one.emphasis,
            dots=one.dots,
            points=[_point(*point) for point in thinned(drawn_points(one, plot.log_y), limit)],
        )
        for one, (colour, dash) in zip(plot.series, styles(plot), strict=True)
    ]
    return PlotData(
        x_label=plot.x_label,
        y_label=plot.y_label,
        log_y=plot.log_y,
        x_integer=plot.x_integer,
        y_range=extent,
        description=description(plot),
        series=series,
        marks=mark_data(plot),
        places=list(plot.places.items()),
    )


def mark_data(plot: LinePlot) -> list[MarkData]:
    """The marks, with those at one x together, and no more of their labels than have room."""
    found = []
    for x, group in groupby(plot.marks, lambda mark: mark.x):
        here = sorted(group, key=lambda mark: list(SIGNS).index(mark.severity))
        labels = [f"{SIGNS[mark.severity]} {mark.label}" for mark in here[:MARK_LABELS]]
        more = f" +{len(here) - MARK_LABELS}" if len(here) > MARK_LABELS else ""
        texts = [f"{SIGNS[mark.severity]} {mark.label} {mark.text}" for mark in here]
        found.append(MarkData(x=x, label="  ".join(labels) + more, severity=here[0].severity, texts=texts))
    return found


def sort_key(value: Value) -> str:
    """What a column is sorted by where that is not what its cells say; six digits are enough."""
    if isinstance(value, Histogram):
        return f"{reach(value):.6g}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _point(*values: float | None) -> list[float | None]:
    """Six digits are finer than a pixel, and the file is shorter."""
    rounded = [None if v is None else float(f"{v:.6g}") for v in values]
    return rounded[:2] if rounded[2] is None else rounded


def _plots(blocks: Sequence[Block]) -> Iterator[LinePlot]:
    for block in blocks:
        if isinstance(block, LinePlot):
            yield block
        elif isinstance(block, SideBySide):
            yield from _plots([*block.left_blocks, *block.right_blocks])


@cache
def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return resources.files("fanin.reports").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": False, "separators": (",", ":")}
    environment.globals.update(asset=lambda name: Markup(asset(name)), data_table=data_table, paired=paired)
    environment.globals.update(heat_data=heat_data, heat_table=heat_table)
    environment.globals.update(outline=outline, in_words=in_words, span=span, HEIGHT=HEIGHT, FIELDS=FIELDS)
    environment.filters.update(shown=shown, gap_note=gap_note, kind=lambda block: type(block).__name__)
    environment.filters.update(markdown=html, sort_key=sort_key, mark_note=mark_note)
    environment.tests["histogram"] = lambda value: isinstance(value, Histogram)
    return environment


@cache
def _hash(script: str) -> Markup:
    """The source expression that lets a browser run exactly this script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Markup("'sha256-{}'").format(digest)
