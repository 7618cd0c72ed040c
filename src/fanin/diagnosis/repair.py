"""Remedies that are tried one by one, of which only those stay that helped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from fanin.diagnosis.check import Check
from fanin.diagnosis.checks import CHECKS
from fanin.diagnosis.diagnose import EVERYTHING, diagnose, untouched
from fanin.diagnosis.evidence import Evidence
from fanin.diagnosis.model import Diagnosis, Finding, Severity
from fanin.diagnosis.progress import Progress, harm, progress
from fanin.diagnosis.selection import Selection
from fanin.errors import FaninError
from fanin.plans import Plan
from fanin.plans.model import writes

SCHEMA: Final = "urn:fanin:repair/1"  # of the JSON form
Outcome = Literal["kept", "gone", "taken back", "not tried"]


@dataclass(frozen=True)
class Attempt:
    """One finding, and what its remedy did.

    Attributes:
        finding: as it was when its turn came.
        outcome: "kept" where the remedy helped and is in the plan, "gone" where another's remedy helped here too, so
            that nothing is left, or a note.
        why: in words, with the numbers.
        after: the same finding with the remedy; None where nothing is left of it, or nothing was tried.
        brought: errors and warnings that the remedy caused or made worse; the reason why it was taken back.
    """

    finding: Finding
    outcome: Outcome
    why: str
    after: Finding | None = None
    brought: tuple[Finding, ...] = ()

    @property
    def kept(self) -> bool:
        """The remedy is in the plan."""
        return self.outcome == "kept"

    def __str__(self) -> str:
        return f"{self.outcome:10}  {self.finding.code} {self.finding.name}: {self.why}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "finding": self.finding.to_dict(),
            "outcome": self.outcome,
            "why": self.why,
            "after": self.after.to_dict() if self.after else None,
            "brought": [f.to_dict() for f in self.brought],
        }


@dataclass(frozen=True)
class Repair:
    """What was wrong, what was tried, and what is left.

    Attributes:
        before: the model as it started.
        after: with what helped; `before` where nothing did.
        plan: what was written; None where nothing was.
        attempts: one for each error and warning, in the order in which they were settled.
        seed: of what the plan draws.
    """

    before: Diagnosis
    after: Diagnosis
    plan: Plan | None
    attempts: tuple[Attempt, ...]
    seed: int = 0

    @property
    def healthy(self) -> bool:
        """Nothing is left but what may be meant so."""
        return self.after.healthy

    @property
    def written(self) -> tuple[str, ...]:
        """Paths of the parameters that were given another start."""
        return tuple(e.parameter.path for e in self.plan if writes(e)) if self.plan else ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `schema/diagnosis.schema.json` says what is where."""
        return {
            "schema": SCHEMA,
            "healthy": self.healthy,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "plan": self.plan.to_dict() if self.plan else None,
            "seed": self.seed,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }

    def __str__(self) -> str:
        head = f"{self.before.graph.model}: {self.before.summary}"
        if not self.attempts:
            return head
        count = f"{len(self.written)} of {len(self.before.graph.parameters)} parameters"
        end = f"{count} start anew, seed {self.seed}: {self.after.summary}" if self.plan else "nothing was changed"
        return "\n".join([head, *map(str, self.attempts), end])


def repair(
    evidence: Evidence,
    trial: Callable[[Plan], Evidence],
    selection: Selection = EVERYTHING,
    checks: Mapping[str, Check] = CHECKS,
    on_trial: Callable[[Finding], None] = lambda _: None,
) -> Repair:
    """Try the remedies of what is selected, in the order of the findings, each beside those that were kept before.

    A remedy stays if its finding is gone or clearly less, and no check, selected or not, finds an error or a warning
    that was not there. Where one lays bare what it hid, as random weights do in the place of zeros, the remedy of that
    is tried with it. One that did not help has another chance after another one did.

    A note may be meant so: it is left, unless the selection names its code.

    Args:
        evidence: of the model as it starts.
        trial: of the model as a plan would start it; the model is as it was afterwards.
        on_trial: told of each finding before its remedy is tried.
    """
    search = _Search(trial, replace(selection, select=()), selection, checks, on_trial)
    first = start = _Start(untouched(evidence.graph), search.judged(evidence))
    while (better := search.better(start)) is not None:
        start = better
    before, after = (diagnose(s.diagnosis.evidence, selection, checks) for s in (first, start))
    return Repair(before, after, None if start is first else start.plan, tuple(search.settled.values()))


@dataclass(frozen=True)
class _Start:
    """A plan, and what is found in the model that it starts."""

    plan: Plan
    diagnosis: Diagnosis

    def finding(self, code: str) -> Finding | None:
        return next((f for f in self.diagnosis if f.code == code), None)


@dataclass
class _Search:
    """The trials so far.

    Attributes:
        everything: the selection by which harm is judged.
        settled: what is to be said of each code.
        seen: starts that were measured, by the digest of their plans: several remedies may come to the same.
    """

    trial: Callable[[Plan], Evidence]
    everything: Selection
    selection: Selection
    checks: Mapping[str, Check]
    on_trial: Callable[[Finding], None]
    settled: dict[str, Attempt] = field(default_factory=dict)
    seen: dict[str, _Start] = field(default_factory=dict)

    def judged(self, evidence: Evidence) -> Diagnosis:
        return diagnose(evidence, self.everything, self.checks)

    def better(self, start: _Start) -> _Start | None:
        """The start with the first remedy that helps, and with those before; None where none does any more."""
        for finding in start.diagnosis:
            known = self.settled.get(finding.code)
            if not self._wanted(finding) or (known and known.kept):
                continue
            found, self.settled[finding.code] = self._attempt(start, finding)
            if found:
                self._went_along(start, found, finding.code)
                return found
        return None

    def _wanted(self, finding: Finding) -> bool:
        check = self.checks[finding.code]
        return self.selection.names(check) or (finding.severity is not Severity.NOTE and self.selection.wants(check))

    def _went_along(self, start: _Start, found: _Start, code: str) -> None:
        """Of what else needs no remedy any more, say with which one that came."""
        for other in start.diagnosis:
            known, left = self.settled.get(other.code), found.finding(other.code)
            if not self._wanted(other) or (left and self._wanted(left)) or (known and known.kept):
                continue
            now = f", a note now: {left.why}" if left else _was(other)
            self.settled[other.code] = Attempt(other, "gone", f"with the remedy of {code}{now}", left)

    def _attempt(self, start: _Start, finding: Finding) -> tuple[_Start | None, Attempt]:
        """The start with this finding's remedy, if it helps, and what to say."""
        if self.checks[finding.code].remedy is None:
            return None, Attempt(finding, "not tried", f"no start helps: {finding.remedy}")
        try:
            tried = self._with_remedy(start, finding)
            if tried is start:
                return None, Attempt(finding, "not tried", f"its remedy changes nothing here: {finding.remedy}")
            found, with_it = self._laid_bare(start, tried, finding)
        except FaninError as error:
            return None, Attempt(finding, "not tried", f"its remedy could not be tried: {error}")
        after = (found or tried).finding(finding.code)
        made = progress(self.checks[finding.code], finding, after)
        if found:
            also = f", with the remedy of {' and '.join(with_it)}, which it laid bare" if with_it else ""
            return found, Attempt(finding, "kept", f"{_KEPT[made]}{_change(finding, after)}{also}", after)
        brought = harm(start.diagnosis, tried.diagnosis, self.checks)
        others = ", ".join(f"{f.name} ({f.code}, {f.severity})" for f in brought if f.code != finding.code)
        why = f"{_TAKEN_BACK[made]}{_change(finding, after)}{f', but brought {others}' if others else ''}"
        return None, Attempt(finding, "taken back", why, after, brought)

    def _with_remedy(self, start: _Start, finding: Finding) -> _Start:
        """Measured; the same object where the remedy decides nothing else."""
        remedy = self.checks[finding.code].remedy
        assert remedy is not None  # those without one are not tried
        plan = remedy(start.plan, start.diagnosis.evidence, finding)
        digest = plan.digest(0)
        if digest == start.plan.digest(0):
            return start
        if digest not in self.seen:
            self.on_trial(finding)
            self.seen[digest] = _Start(plan, self.judged(self.trial(plan)))
        return self.seen[digest]

    def _laid_bare(self, start: _Start, tried: _Start, finding: Finding) -> tuple[_Start | None, list[str]]:
        """The first start that helps and does no harm: with this remedy alone, or with those of what it brought."""
        check, with_it = self.checks[finding.code], list[str]()
        while progress(check, finding, tried.finding(finding.code)) in _KEPT:
            brought = harm(start.diagnosis, tried.diagnosis, self.checks)
            if not brought:
                return tried, with_it
            curable = [f for f in brought if self.checks[f.code].remedy and f.code not in (finding.code, *with_it)]
            if not curable:
                break
            tried = self._with_remedy(tried, curable[0])
            with_it.append(curable[0].code)
        return None, with_it


_KEPT: Final = {Progress.GONE: "gone", Progress.LESS: "clearly less"}
_TAKEN_BACK: Final = {
    Progress.GONE: "it made it go",
    Progress.LESS: "it made it clearly less",
    Progress.SAME: "it did not help",
    Progress.WORSE: "it made it worse",
}


def _was(finding: Finding) -> str:
    return _change(finding, None)


def _change(before: Finding, after: Finding | None) -> str:
    """The number that the finding is about, before and after, with the severity where that changes."""
    if not before.evidence:
        return ""
    name, old = next(iter(before.evidence.items()))
    if after is None:
        return f" ({name} was {old:.3g})"
    severity = f", {before.severity} → {after.severity}" if before.severity is not after.severity else ""
    return f" ({name} {old:.3g} → {after.evidence.get(name, math.nan):.3g}{severity})"
