"""Every planted fault is found, nothing is found in a healthy twin, and where a start helps, the remedies do."""

from __future__ import annotations

import pytest

from fanin.api.evidence import gathering
from fanin.diagnosis import Severity, diagnose, remedy_plan
from fanin.frameworks.torch import write_
from fanin.testing.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_what_is_planted_is_found_and_remedied(name: str) -> None:
    """Mutant: a readout that is drawn anew as wide as it was."""
    case = ZOO[name]
    there = case.build()
    look = gathering(there.model, *there.example, loss=there.loss, **there.options)
    before = diagnose(look())
    found = {f.code: f.severity for f in before}
    wrong = {code for code, severity in found.items() if severity is not Severity.NOTE}
    assert case.faults <= found.keys(), found
    assert wrong <= case.faults | case.consequences, found
    if case.healthy or case.hopeless:
        return
    write_(there.model, remedy_plan(before), seed=1)
    after = diagnose(look())
    assert after.healthy, str(after)
    assert not case.faults & {f.code for f in after if found.get(f.code) is Severity.NOTE}, str(after)


def test_each_case_has_a_name_of_its_own_and_builds_the_same_each_time() -> None:
    for case in ZOO.values():
        first, second = case.build(), case.build()
        pairs = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
        assert all(a.equal(b) for a, b in pairs), case.name
