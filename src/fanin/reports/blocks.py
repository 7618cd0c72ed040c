"""From findings, plans and diagnoses to the blocks of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fanin.diagnosis import CHECKS, Attempt, Diagnosis, Finding, Place, Severity
from fanin.plans import Plan
from fanin.plans.model import writes
from fanin.plans.repeated import grouped, label
from fanin.plans.text import HEADERS, NUMBERS, rows
from fanin.reports.formats import SIGNS
from fanin.reports.page import Column, FindingRow, Findings, Table, Text
from fanin.reports.page import Severity as Shown

WORDS: Final[Mapping[Severity, Shown]] = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
GROUPS: Final = 4  # of paths, named in a finding; how many there are beyond them is said


def findings(
    diagnosis: Diagnosis, prefix: str = "", *, counted: bool = True, explained: bool = False
) -> Findings | Text:
    """The findings, worst first, or one line that says there are none.

    Args:
        counted: at the top of the page.
        explained: with the page of each check, to fold out.
    """
    if not diagnosis.findings:
        return Text(f"{prefix}healthy: no check found anything", "good")
    found = [_row(f, prefix, explained) for f in diagnosis]
    return Findings(sorted(found, key=lambda row: list(SIGNS).index(row.severity)), counted)


def _row(finding: Finding, prefix: str, explained: bool) -> FindingRow:
    check = CHECKS.get(finding.code)
    return FindingRow(
        finding.code,
        WORDS[finding.severity],
        f"{prefix}{finding.name}",
        where=f"from {where(finding.place)}",
        what=finding.what,
        why=finding.why,
        remedy=finding.remedy,
        also=paths_in_short(finding.affected[1:]),
        explain=check.page if check and explained else "",
    )


def where(place: Place) -> str:
    """All that is known of a place.

    >>> where(Place(3, 40, ("body.2", 3, 39), "body.2.fc", "linear", "net.py:14"))
    'layer 3 of 40, block 3 of 39, module body.2.fc, linear, net.py:14'
    """
    layer = f"layer {place.layer} of {place.layers}" if place.layer else ""
    path, which, count = place.block or ("", 0, 0)
    block = f"block {which} of {count}" if path and path != place.module else ""
    named = f"module {place.module}" if place.module else ""
    parts = (layer, block, place.parameter or named, place.operation, place.source)
    return ", ".join(filter(None, parts)) or "the model as a whole"


def paths_in_short(paths: Sequence[str]) -> str:
    """Paths that differ in their numbers alone as one.

    >>> paths_in_short(["body.1.fc", "body.2.fc", "body.3.fc", "head"])
    'body.{1…3}.fc (3), head'
    """
    groups = grouped(dict.fromkeys(paths), lambda path: path, lambda _: None)
    more = sum(map(len, groups[GROUPS:]))
    return ", ".join([*map(label, groups[:GROUPS]), *([f"and {more} more"] if more else [])])


def attempts_table(attempts: Sequence[Attempt]) -> Table:
    """What became of each error and warning, and why."""
    columns = [Column(name) for name in ("remedy of", "finding", "outcome", "what it did")]
    return Table("", columns, [(a.finding.code, a.finding.name, a.outcome, a.why) for a in attempts])


def plan_table(plan: Plan) -> Table:
    """Parameter, shape, fans, initializer, std, why; repeated layers share a row."""
    columns = [Column(name, align="right" if name in NUMBERS else "left") for name in HEADERS]
    return Table(f"plan: {plan.recipe}", columns, rows(plan))


def written_table(plan: Plan) -> Table:
    """The same of the parameters that the plan writes; how many it keeps as they are is noted."""
    written = [entry for entry in plan if writes(entry)]
    kept = len(plan) - len(written)
    notes = [f"{kept} other parameter{'s are' if kept > 1 else ' is'} kept as built."] if kept else []
    return replace(plan_table(replace(plan, entries=tuple(written))), notes=notes)


def laws_table(plan: Plan) -> Table:
    """The laws that a model seems to have been built by; parameters whose law cannot be told share rows, by why."""
    entries = tuple(e if writes(e) else replace(e, why=e.why.partition(": mean")[0], measured=None) for e in plan)
    return replace(plan_table(replace(plan, entries=entries)), title="")


def reach(diagnosis: Diagnosis) -> tuple[float | None, float | None]:
    """How far signals come: E[x²] of the last layer over the first's, and ‖δ‖² of the first over the last's."""
    seen = diagnosis.evidence.layers
    forward = _ratio(seen[-1].value.second_moment, seen[0].value.second_moment)
    return forward, _ratio(seen[0].gradient_norm, seen[-1].gradient_norm)


def _ratio(far: float | None, near: float | None) -> float | None:
    return far / near if far is not None and near else None
