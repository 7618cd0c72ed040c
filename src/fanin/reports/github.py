"""Findings as annotations of GitHub's workflow commands, shown beside the lines of a pull request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fanin.diagnosis import Finding, Severity

KINDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def annotated(findings: Iterable[Finding], locate: Callable[[Finding], tuple[str, int]]) -> str:
    """A line for each: `::error file=net.py,line=14,title=B01 vanishing gradients::what; why; remedy`.

    Args:
        locate: path from the root of the repository, with slashes, and line.
    """
    return "".join(f"{_annotation(finding, *locate(finding))}\n" for finding in findings)


def _annotation(finding: Finding, file: str, line: int) -> str:
    title = _property(f"{finding.code} {finding.name}")
    said = f"{finding.place}: {finding.what}\nWhy: {finding.why}\nRemedy: {finding.remedy}"
    return f"::{KINDS[finding.severity]} file={_property(file)},line={line},title={title}::{_escaped(said)}"


def _escaped(text: str) -> str:
    r"""As the runner's own toolkit does it (actions/toolkit, command.ts).

    >>> _escaped("50 %\nof them")
    '50 %25%0Aof them'
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    r"""In a property, what separates properties is escaped, too.

    >>> _property("a: b, c")
    'a%3A b%2C c'
    """
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
