"""Run the checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks import CHECKS
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Diagnosis
from fanin.diagnosis.selection import Selection
from fanin.graph import Graph
from fanin.plans import Plan, as_built

EVERYTHING = Selection()


def diagnose(evidence: Evidence, selection: Selection = EVERYTHING, checks: Mapping[str, Check] = CHECKS) -> Diagnosis:
    """Every selected check's finding, in the order of the table; and which checks the evidence is not enough for."""
    wanted = [check for check in checks.values() if selection.wants(check)]
    able = [check for check in wanted if check.can_judge(evidence)]
    findings = [found for check in able if (found := check.find(check, evidence))]
    shown = tuple(f for f in findings if not selection.ignores(f))
    ignored = tuple(f for f in findings if selection.ignores(f))
    return Diagnosis(shown, evidence, ignored, {c.code: c.needs for c in wanted if not c.can_judge(evidence)})


def untouched(graph: Graph) -> Plan:
    """Where remedies start from: every parameter kept as it is."""
    return as_built(graph, "as built, with the remedies", "nothing was found here: kept as it is")


def remedy_plan(diagnosis: Diagnosis) -> Plan:
    """All that the findings call for, at once and untried; every other parameter is kept. `repair` tries them."""
    return remedied(untouched(diagnosis.graph), diagnosis)


def remedied(
    plan: Plan, diagnosis: Diagnosis, codes: Iterable[str] | None = None, checks: Mapping[str, Check] = CHECKS
) -> Plan:
    """The plan with the findings' remedies applied in turn, those of notes too: all, or those of some codes."""
    wanted = None if codes is None else set(codes)
    for finding in diagnosis:
        remedy = checks[finding.code].remedy
        if remedy and (wanted is None or finding.code in wanted):
            plan = remedy(plan, diagnosis.evidence, finding)
    return plan
