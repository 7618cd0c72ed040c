"""Run the checks."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks import CHECKS
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Diagnosis
from fanin.graph import Graph
from fanin.plans import Plan, as_built
from fanin.signals import Signals


def diagnose(graph: Graph, signals: Signals, checks: Mapping[str, Check] = CHECKS) -> Diagnosis:
    """Every check's finding, in the order of the table."""
    evidence = Evidence(graph, signals)
    found = (check.find(check, evidence) for check in checks.values())
    return Diagnosis(tuple(f for f in found if f), graph, signals)


def remedy_plan(diagnosis: Diagnosis) -> Plan:
    """Only what the findings call for; every other parameter is kept as it is."""
    kept = as_built(diagnosis.graph, "as built, with the remedies", "nothing was found here: kept as it is")
    return remedied(kept, diagnosis)


def remedied(plan: Plan, diagnosis: Diagnosis, checks: Mapping[str, Check] = CHECKS) -> Plan:
    """The plan with every finding's remedy applied in turn."""
    evidence = Evidence(diagnosis.graph, diagnosis.signals)
    for finding in diagnosis:
        plan = checks[finding.code].remedy(plan, evidence, finding)
    return plan
