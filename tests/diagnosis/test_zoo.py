"""Every planted fault is found, and nothing is found in a healthy twin."""

from __future__ import annotations

import pytest

import fanin
from fanin.diagnosis import Severity
from fanin.testing.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_what_is_planted_is_found_and_nothing_else(name: str) -> None:
    case = ZOO[name]
    there = case.build()
    found = fanin.diagnose(there.model, *there.example, loss=there.loss, **there.options)
    wrong = {f.code for f in found if f.severity is not Severity.NOTE}
    assert case.faults <= {f.code for f in found}, str(found)
    assert wrong <= case.faults | case.consequences, str(found)


def test_each_case_has_a_name_of_its_own_and_builds_the_same_each_time() -> None:
    for case in ZOO.values():
        first, second = case.build(), case.build()
        pairs = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
        assert all(a.equal(b) for a, b in pairs), case.name
