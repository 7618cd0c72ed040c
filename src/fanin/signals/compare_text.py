"""A comparison as tables: how far predictions are off over all, and the nodes where they are furthest."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from fanin.graph.model import operation_name
from fanin.grid import Grid
from fanin.signals.compare import Comparison, Row, Summary

SUMMARY = ("second moments", "compared", "median ×", "p90 ×", "largest ×", "signed ×", "in band", "left out")
NODES = ("node", "of", "predicted", "measured", "ratio", "in band", "operation", "module", "source")
NUMBERS = {*SUMMARY[1:], "predicted", "measured", "ratio", "in band"}


def tables(comparison: Comparison, worst: int = 10) -> Group:
    """The summary, and the nodes that are furthest off."""
    rows = [node_cells(kind, row) for kind, row in comparison.worst(worst)]
    head = f"{comparison.model}: predicted over measured"
    found: list[Text | Grid] = [
        Text(head, "bold"),
        _grid(SUMMARY, summary_rows(comparison)),
        *map(Text, notes(comparison)),
    ]
    if rows:
        found += [Text("Furthest off", "bold"), _grid(NODES, rows)]
    return Group(*found)


def summary_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Values, gradients, parameters' gradients."""
    named = {
        "values": comparison.values,
        "gradients": comparison.gradients,
        "parameter gradients": comparison.parameter_gradients,
    }
    return [(name, *_summary_cells(seen)) for name, seen in named.items()]


def notes(comparison: Comparison) -> list[str]:
    """What the numbers do not say."""
    found = []
    if comparison.first_layer:
        found.append(f"Gradient at the first layer: × {comparison.first_layer.ratio:.3g}.")
    if comparison.sampled:
        count = len(comparison.sampled)
        found.append(f"{count} node{'s' * (count != 1)} run on a sample for want of a rule.")
    if comparison.unpredicted:
        more = ", …" if len(comparison.unpredicted) > 5 else ""
        found.append(f"Not predicted: {', '.join(comparison.unpredicted[:5])}{more}.")
    return found


def node_cells(kind: str, row: Row) -> tuple[str, ...]:
    """One row of the table of nodes."""
    pair = row.value if kind == "value" else row.gradient
    assert pair is not None
    inside = "" if pair.inside is None else "yes" if pair.inside else "no"
    numbers = (f"{pair.predicted:.4g}", f"{pair.measured:.4g}", f"{pair.ratio:.3g}")
    return (row.name, kind, *numbers, inside, operation_name(row.op), row.module, row.source)


def _summary_cells(seen: Summary) -> tuple[str, ...]:
    if not seen.count:
        return ("0", "–", "–", "–", "–", "–", str(seen.left_out))
    inside = "–" if seen.inside is None else f"{seen.inside:.0%}"
    factors = (f"{x:.3g}" for x in (seen.median, seen.p90, seen.largest, seen.signed))
    return (str(seen.count), *factors, inside, str(seen.left_out))


def _grid(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> Grid:
    return Grid(headers, rows, ["right" if name in NUMBERS else "left" for name in headers])
