"""What a notebook shows: a line of words, tables and small plots, as a piece of HTML.

It has no script and no style sheet, so that a notebook of many cells stays small and no cell changes another. Text has
the colour of what is around it, light or dark. Everything is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

WIDTH: Final = 400
HEIGHT: Final = 190
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 40, 26
COLOURS: Final = ("#2a7fbd", "#d0570a", "#1a8f6d")  # each 3:1 or more with white and with near black
TICKS: Final = 5
SENTENCE: Final = 24  # a cell longer than this is one
ROWS: Final = 60  # of a table; how many there are beyond them is said


@dataclass(frozen=True)
class Line:
    """A line through (x, y), or its points alone; `low` and `high` are a band. None is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    dots: bool = False


def fragment(*parts: str) -> str:
    """The parts below each other."""
    return f"<div>{''.join(parts)}</div>"


def heading(title: str, rest: str = "") -> str:
    """A line in bold, and one below it."""
    below = f'<p style="margin:0 0 .6em">{escape(rest)}</p>' if rest else ""
    return f'<p style="margin:0 0 .2em"><strong>{escape(title)}</strong></p>{below}'


def beside(*parts: str) -> str:
    """The parts beside each other, where there is room."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:.5em 1.5em">{"".join(parts)}</div>'


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], justify: Sequence[Literal["left", "right"]] = ()
) -> str:
    """Rows of text; a wide one scrolls in its own box."""
    sides = [f"text-align:{side};vertical-align:top" for side in justify or ["left"] * len(headers)]
    head = "".join(_cell("th", text, side) for text, side in zip(headers, sides, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell('td', text, side) for text, side in zip(row, sides, strict=True))}</tr>"
        for row in rows[:ROWS]
    )
    more = f"<p>{len(rows) - ROWS} more rows.</p>" if len(rows) > ROWS else ""
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{grid}</div>{more}'


def _cell(tag: str, text: str, style: str) -> str:
    room = ";min-width:11em" if len(text) > SENTENCE else ""  # a narrow screen scrolls rather than fold words
    return f'<{tag} style="{style}{room}">{escape(text)}</{tag}>'


def log_plot(title: str, lines: Sequence[Line], marks: Iterable[tuple[float, str]] = (), x_label: str = "layer") -> str:
    """Positive numbers over a common axis, on a log scale, as an SVG; what has no logarithm is a gap.

    Args:
        marks: places where something starts, each with a short label.
    """
    drawn = [y for line in lines for values in (line.y, line.low, line.high) for y in values if _drawable(y)]
    if not drawn:
        return f"<p>{escape(title)}: nothing to draw.</p>"
    axes = _Axes.around([x for line in lines for x in line.x], drawn)
    colours = dict(zip((line.name for line in lines), COLOURS, strict=False))
    parts = [
        *axes.frame(x_label),
        *(part for line in lines for part in _band(line, axes, colours[line.name])),
        *(part for line in lines for part in _line(line, axes, colours[line.name])),
        *(part for row, (x, labels) in enumerate(_together(marks)) for part in _mark(x, labels, axes, row % 3)),
        _text(0, 11, title, weight="600"),
        _legend(lines, colours),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'style="max-width:100%;height:auto" role="img" aria-label="{escape(_in_words(title, lines))}" '
        f'font-family="sans-serif" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def _drawable(y: float | None) -> bool:
    return y is not None and math.isfinite(y) and y > 0


@dataclass(frozen=True)
class _Axes:
    """From numbers to places in the picture; y in decades."""

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float | None]) -> _Axes:
        decades = [math.log10(y) for y in ys if y]
        low, high = min(decades), max(decades)
        room = 0.05 * (high - low) or 0.5
        return cls((min(xs), max(xs)), (low - room, high + room))

    def across(self, x: float) -> float:
        low, high = self.x
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - low) / (high - low) if high > low else 0.5)

    def up(self, y: float | None) -> float | None:
        if y is None or not _drawable(y):
            return None
        low, high = self.y
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (math.log10(y) - low) / (high - low)

    def frame(self, x_label: str) -> Iterator[str]:
        """Lines at some decades, the ends of the x axis, and its name."""
        floor = HEIGHT - BOTTOM
        for decade in _decades(*self.y):
            y = floor - (floor - TOP) * (decade - self.y[0]) / (self.y[1] - self.y[0])
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".15"/>'
            yield _text(LEFT - 6, y + 4, f"{10.0**decade:.2g}", anchor="end")
        yield f'<path d="M{LEFT} {floor}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".5"/>'
        for x, anchor in zip(dict.fromkeys(self.x), ("start", "end"), strict=False):
            yield _text(self.across(x), floor + 15, f"{x:g}", anchor=anchor)
        yield _text((LEFT + WIDTH - RIGHT) / 2, floor + 15, x_label, anchor="middle")


def _decades(low: float, high: float) -> list[float]:
    """Whole ones, some of them if there are many; the ends where there is none between."""
    whole = range(math.ceil(low), math.floor(high) + 1)
    if len(whole) < 2:
        return [low + (high - low) * share for share in (0.1, 0.9)]
    return [float(decade) for decade in whole[:: -(-len(whole) // TICKS)]]


def _runs(line: Line, axes: _Axes, values: Sequence[float | None]) -> Iterator[list[tuple[float, float]]]:
    """The points without the gaps."""
    run: list[tuple[float, float]] = []
    for x, y in zip(line.x, map(axes.up, values), strict=True):
        if y is None:
            yield run
            run = []
        else:
            run.append((axes.across(x), y))
    yield run


def _line(line: Line, axes: _Axes, colour: str) -> Iterator[str]:
    runs = [run for run in _runs(line, axes, line.y) if run]
    if line.dots:
        dots = "".join(f"M{x:.1f} {y:.1f}h0" for run in runs for x, y in run)
        yield f'<path d="{dots}" stroke="{colour}" stroke-width="4" stroke-linecap="round" fill="none"/>'
        return
    path = "".join(f"M{' '.join(f'{x:.1f} {y:.1f}' for x, y in run)}{'h0' if len(run) == 1 else ''}" for run in runs)
    yield f'<path d="{path}" stroke="{colour}" stroke-width="1.6" stroke-linecap="round" fill="none"/>'


def _band(line: Line, axes: _Axes, colour: str) -> Iterator[str]:
    if not line.low:
        return
    both = [(a, b) if _drawable(a) and _drawable(b) else (None, None) for a, b in zip(line.low, line.high, strict=True)]
    low, high = (list(_runs(line, axes, [pair[side] for pair in both])) for side in (0, 1))
    for below, above in zip(low, high, strict=True):
        if below:
            edge = " ".join(f"{x:.1f} {y:.1f}" for x, y in [*below, *reversed(above)])
            yield f'<path d="M{edge}z" fill="{colour}" opacity=".18"/>'


def _together(marks: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    """One mark for each x, with all the labels there."""
    found: dict[float, list[str]] = {}
    for x, label in sorted(marks):
        found.setdefault(x, []).append(label)
    return [(x, " ".join(labels)) for x, labels in found.items()]


def _mark(x: float, label: str, axes: _Axes, row: int) -> Iterator[str]:
    """Labels go down in rows, so that neighbours do not lie on each other."""
    at = axes.across(x)
    yield f'<path d="M{at:.1f} {TOP - 4}V{HEIGHT - BOTTOM}" stroke="currentColor" stroke-dasharray="4 3" opacity=".7"/>'
    near_end = at > WIDTH - 60
    yield _text(
        at - 4 if near_end else at + 4, TOP + 6 + 12 * row, label, anchor="end" if near_end else "start", weight="600"
    )


def _legend(lines: Sequence[Line], colours: dict[str, str]) -> str:
    signs = (("●" if line.dots else "—", line) for line in lines)
    names = (f'<tspan fill="{colours[line.name]}">{sign}</tspan> {escape(line.name)}  ' for sign, line in signs)
    return f'<text x="0" y="26" xml:space="preserve">{" ".join(names)}</text>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _in_words(title: str, lines: Sequence[Line]) -> str:
    said = []
    for line in lines:
        ends = [y for y in line.y if y is not None and _drawable(y)]
        said.append(f"{line.name} from {ends[0]:.2e} to {ends[-1]:.2e}" if ends else f"{line.name}: nothing to draw")
    return f"{title}: {'; '.join(said)}"
