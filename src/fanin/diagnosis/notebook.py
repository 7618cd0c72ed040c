"""A diagnosis as a notebook shows it: what was found, and the signals over depth."""

from __future__ import annotations

from typing import Final

from fanin.diagnosis.model import Diagnosis, Severity
from fanin.fragment import fragment, heading, table
from fanin.signals import by_depth
from fanin.signals.notebook import plots_of

SIGNS: Final = {Severity.ERROR: "✗ error", Severity.WARNING: "! warning", Severity.NOTE: "· note"}


def html(diagnosis: Diagnosis) -> str:
    """Findings, worst first, and two plots with a mark where each starts."""
    evidence = diagnosis.evidence
    foreseen = evidence.predicted if evidence.measured else None
    layers = {"predicted": by_depth(evidence.graph, foreseen)} if foreseen else {}
    layers[evidence.signals.origin] = evidence.layers
    starts = {(f.place.layer, f.code, f.code.startswith("B")) for f in diagnosis if f.place.layer is not None}
    ranked = sorted(diagnosis, key=lambda f: list(SIGNS).index(f.severity))
    rows = [(SIGNS[f.severity], f.code, f.name, str(f.place), f.what, f.why, f.remedy) for f in ranked]
    found = [table(("", "code", "finding", "from", "what", "why", "remedy"), rows)] if rows else []
    title = f"{diagnosis.graph.model}: {diagnosis.summary}"
    return fragment(heading(title), *found, plots_of(layers, sorted(starts)))
