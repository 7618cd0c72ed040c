"""JUDGEMENT: findings, each with its place, cause, evidence and remedy.

`diagnose` runs `CHECKS` over `Evidence`; a `Finding` is what one check saw. A remedy is a function `Plan → Plan`.
To add a check: a file in `checks/` with `CHECK = Check(…)`, and a line in `CHECKS`.
"""

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks import CHECKS, check_named
from fanin.diagnosis.diagnose import diagnose, remedied, remedy_plan
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Diagnosis, Finding, Severity
from fanin.diagnosis.place import Place
from fanin.diagnosis.repair import Attempt, Repair, repair
from fanin.diagnosis.selection import Selection

__all__ = [
    "CHECKS",
    "Attempt",
    "Check",
    "Diagnosis",
    "Evidence",
    "Finding",
    "Place",
    "Repair",
    "Selection",
    "Severity",
    "check_named",
    "diagnose",
    "remedied",
    "remedy_plan",
    "repair",
]
