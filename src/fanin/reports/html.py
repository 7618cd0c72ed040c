"""A page as one HTML file that opens anywhere, offline, with the plotting library inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import TypedDict

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from fanin.reports.curves import data_table, description, drawn_points, gap_note, paired, styles, thinned, y_range
from fanin.reports.formats import counts, shown
from fanin.reports.heat import heat_data, heat_table
from fanin.reports.page import Block, LinePlot, Page, SideBySide

POINTS_PER_LINE = 1000  # as many as a wide screen shows
POINTS_PER_PAGE = 20_000  # keeps the file below 2 MB, of which the library takes 1.1
SCRIPTS = ("echarts.min.js", "page.js")


class SeriesData(TypedDict):
    """What the page's script is told of a series. A point is [x, y] or [x, y, low, high]; null is a gap."""

    name: str
    colour: int
    dash: int
    emphasis: bool
    dots: bool
    points: list[list[float | None]]


class PlotData(TypedDict):
    """What the page's script is told of a plot."""

    x_label: str
    y_label: str
    log_y: bool
    x_integer: bool
    y_range: tuple[float, float]
    description: str
    series: list[SeriesData]


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
    )


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
    environment.filters.update(shown=shown, gap_note=gap_note, kind=lambda block: type(block).__name__)
    return environment


@cache
def _hash(script: str) -> Markup:
    """The source expression that lets a browser run exactly this script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Markup("'sha256-{}'").format(digest)
