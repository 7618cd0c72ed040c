"""Annotations as GitHub's runner reads them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from fanin.diagnosis import Finding, Place, Severity
from fanin.reports.github import annotated

FINDING = Finding("U02", "saturated units", Severity.ERROR, Place(module="a"), "95 % at 1", "why", "do", ("a",))


def unescaped(text: str) -> str:
    """As the runner does it."""
    for code, character in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, character)
    return text


@pytest.mark.parametrize(
    ("severity", "kind"), [(Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.NOTE, "notice")]
)
def test_a_line_for_each_finding(severity: Severity, kind: str) -> None:
    text = annotated([replace(FINDING, severity=severity)] * 2, lambda finding: ("net.py", 14))
    first, second = text.splitlines()
    assert first == second
    assert first.startswith(f"::{kind} file=net.py,line=14,title=U02 saturated units::")
    assert unescaped(first.partition("::")[2].partition("::")[2]).endswith("95 % at 1\nWhy: why\nRemedy: do")


def test_what_means_something_to_the_runner_is_escaped() -> None:
    """Mutants: "%" escaped last; no escapes in a property."""
    odd = replace(FINDING, name="a: b, c\r\n::error::x", what="100%0A\r\n::error::y")
    (line,) = annotated([odd], lambda finding: ("a,b:c%.py", 1)).splitlines()
    command, properties, message = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line).groups()  # type: ignore[union-attr]
    assert command == "error"
    file, number, title = properties.split(",")
    assert (unescaped(file), number) == ("file=a,b:c%.py", "line=1")
    assert unescaped(title) == "title=U02 a: b, c\r\n::error::x"
    assert "100%250A%0D%0A" in message
