"""What of a line plot can be drawn, and what must be said in words instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fanin.reports.formats import SIGNS, shown
from fanin.reports.page import Column, Format, LinePlot, Point, Series, SideBySide, Table, Value

TABLE_ROWS = 200  # more rows than this are no reading; the JSON report has them all


def drawable(value: float | None, log_y: bool) -> bool:
    """Whether `value` has a place on the axis."""
    return value is not None and math.isfinite(value) and (value > 0 or not log_y)


def drawn_points(series: Series, log_y: bool) -> list[Point]:
    """The points, with None for whatever has no place on the axis. A band is drawn where both its sides are."""
    points: list[Point] = []
    for x, y, low, high in series.points():
        band = (low, high) if drawable(low, log_y) and drawable(high, log_y) else (None, None)
        points.append((x, y if drawable(y, log_y) else None, *band))
    return points


def y_range(plot: LinePlot) -> tuple[float, float] | None:
    """The lowest and the highest value drawn; None if there is none."""
    if plot.y_range:
        return plot.y_range
    points = (point for series in plot.series for point in drawn_points(series, plot.log_y))
    values = [value for point in points for value in point[1:] if value is not None]
    return (min(values), max(values)) if values else None


def gap_note(plot: LinePlot) -> str:
    """One sentence that names each value which is not drawn; empty if all are.

    >>> start = Series("N(0, 1)", x=range(1, 6), y=[1, 1e200, 1e300, math.inf, math.inf])
    >>> gap_note(LinePlot("Signal", "layer", "E[x²]", [start]))
    'Not drawn: N(0, 1) from layer 4 on (beyond 1e308).'
    """
    gaps = [gap for series in plot.series for gap in _gaps(series, plot)]
    return f"Not drawn: {'; '.join(gaps)}." if gaps else ""


def _gaps(series: Series, plot: LinePlot) -> Iterable[str]:
    reasons = [_reason(y, plot.log_y) for _, y, _, _ in series.points()]
    where: dict[str, list[int]] = {}
    for index, reason in enumerate(reasons):
        if reason:
            where.setdefault(reason, []).append(index)
    for reason, places in where.items():
        yield f"{series.name} {_places(places, series, plot)} ({reason})"


def _reason(y: float | None, log_y: bool) -> str:
    if y is None:
        return "no value"
    if math.isnan(y):
        return "nan"
    if math.isinf(y):
        return "beyond 1e308" if y > 0 else "below -1e308"
    if log_y and y <= 0:
        return "0" if y == 0 else "negative"
    return ""


def _places(places: list[int], series: Series, plot: LinePlot) -> str:
    first, last = _x(series.x[places[0]], plot), shown(series.x[places[-1]], plot.x_format)
    together = places[-1] - places[0] + 1 == len(places)
    if len(places) == len(series.x):
        return "anywhere"
    if together and places[-1] == len(series.x) - 1:
        return f"from {first} on"
    if len(places) == 1:
        return f"at {first}"
    return f"from {first} to {last}" if together else f"at {len(places)} points from {first} to {last}"


def mark_note(plot: LinePlot) -> str:
    """One sentence that names every mark and where it stands; empty without any."""
    named = (f"{SIGNS[m.severity]} {m.label} {m.text}, {plot.x_label} {shown(m.x, plot.x_format)}" for m in plot.marks)
    return f"Marked: {'; '.join(named)}." if plot.marks else ""


def description(plot: LinePlot) -> str:
    """The plot in words, for those who hear it: what is drawn over what, and each line's first and last value."""
    lines = []
    for series in plot.series:
        ends = [(x, y) for x, y, _, _ in drawn_points(series, plot.log_y) if y is not None]
        if ends:
            first, last = (f"{shown(y, plot.y_format)} at {_x(x, plot)}" for x, y in (ends[0], ends[-1]))
            lines.append(f"{series.name} goes from {first} to {last}")
        else:
            lines.append(f"{series.name} has nothing to draw")
    scale = "logarithmic " if plot.log_y else ""
    said = f"{plot.title}. Line plot of {plot.y_label} ({scale}axis) over {plot.x_label}. {'; '.join(lines)}."
    return " ".join(filter(None, (said, mark_note(plot))))


def _x(x: float, plot: LinePlot) -> str:
    return f"{plot.x_label} {shown(x, plot.x_format)}"


def styles(plot: LinePlot) -> list[tuple[int, int]]:
    """(colour, dash) of each series: one colour a group, a dash for each of its lines; an emphasised line is solid."""
    groups = list(dict.fromkeys(series.group or series.name for series in plot.series))
    seen: dict[str, int] = {}
    result = []
    for series in plot.series:
        colour = groups.index(series.group or series.name)
        rank = seen[series.group] = seen.get(series.group, -1) + 1
        alone = 0 if series.emphasis else colour
        result.append((colour, rank if series.group else alone))
    return result


def thinned(points: Sequence[Point], limit: int) -> list[Point]:
    """About `limit` points: the lowest and the highest of every run, and one of its gaps, so that no spike is lost."""
    if len(points) <= limit:
        return list(points)
    runs = max(limit // 3, 1)
    kept: set[int] = {0, len(points) - 1}
    for run in range(runs):
        indices = range(run * len(points) // runs, (run + 1) * len(points) // runs)
        values = [(y, i) for i in indices if (y := points[i][1]) is not None]
        kept |= {min(values)[1], max(values)[1]} if values else set()
        kept |= {next((i for i in indices if points[i][1] is None), indices[0])}
    return [points[i] for i in sorted(kept)]


def paired(block: SideBySide) -> SideBySide:
    """The same, with one y axis for each pair of plots of the same quantity."""
    left, right = list(block.left_blocks), list(block.right_blocks)
    for i, (one, other) in enumerate(zip(left, right, strict=False)):
        if isinstance(one, LinePlot) and isinstance(other, LinePlot):
            left[i], right[i] = _with_common_axis(one, other)
    return replace(block, left_blocks=left, right_blocks=right)


def _with_common_axis(one: LinePlot, other: LinePlot) -> tuple[LinePlot, LinePlot]:
    a, b = y_range(one), y_range(other)
    if a is None or b is None or (one.y_label, one.log_y) != (other.y_label, other.log_y):
        return one, other
    common = (min(a[0], b[0]), max(a[1], b[1]))
    return replace(one, y_range=common), replace(other, y_range=common)


def data_table(plot: LinePlot) -> Table:
    """The numbers of the plot, for reading without the drawing; with what stands at each x, where that is known."""
    by_x = [{point[0]: _cell(point, plot.y_format) for point in series.points()} for series in plot.series]
    xs = sorted({x for column in by_x for x in column})
    step = -(-len(xs) // TABLE_ROWS) or 1
    there = [[plot.places.get(x, "")] if plot.places else [] for x in xs]
    rows: list[list[Value]] = [
        [x, *place, *(column.get(x, "") for column in by_x)] for x, place in zip(xs[::step], there[::step], strict=True)
    ]
    columns = [Column(plot.x_label, plot.x_format), *([Column("where")] if plot.places else [])]
    columns += [Column(series.name, plot.y_format) for series in plot.series]
    notes = [f"Every {step}th of {len(xs)} rows."] if step > 1 else []
    return Table(plot.title, columns, rows, notes)


def _cell(point: Point, style: Format) -> str:
    _, y, low, high = point
    band = f" ({shown(low, style)} to {shown(high, style)})" if low is not None and high is not None else ""
    return shown(y, style) + band


def resampled(points: Sequence[Point], width: int, log_y: bool) -> list[float | None]:
    """`width` heights for a row of characters, or one for each point if there are fewer; None where nothing is drawn.

    Each is the mean of its share of the points, in decades on a log axis.
    """
    width = min(width, len(points))
    heights: list[float | None] = []
    for i in range(width):
        share = points[i * len(points) // width : (i + 1) * len(points) // width]
        values = [math.log10(y) if log_y else y for _, y, _, _ in share if y is not None]
        heights.append(sum(v / len(values) for v in values) if values else None)
    return heights
