"""Findings in SARIF 2.1.0, the format of code scanning: GitHub, GitLab, Azure DevOps, and editors read it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from fanin.diagnosis import CHECKS, Check, Finding

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT: Final = "%SRCROOT%"  # what paths are relative to; code scanning puts the checkout in its place


@dataclass(frozen=True)
class Located:
    """A finding with the model that it is of, as it was named, and where it is shown.

    Attributes:
        file: relative to the root of the checkout, with slashes; an absolute path lies outside of it.
    """

    finding: Finding
    model: str
    file: str
    line: int


def sarif(
    found: Iterable[Located], version: str, ignored: int = 0, checks: Mapping[str, Check] = CHECKS
) -> dict[str, Any]:
    """One run with all checks as rules; plain data for `strict_json`.

    Fingerprints are of model, code and place, not of lines or numbers: a finding that is known stays the same when the
    file changes above it.

    Args:
        version: of fanin.
        ignored: findings that were left out; code scanning would show them as open.
    """
    codes = list(checks)
    run = {
        "tool": {"driver": {"name": "fanin", "version": version, "rules": [_rule(check) for check in checks.values()]}},
        "invocations": [{"executionSuccessful": True}],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The working directory."}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, codes.index(one.finding.code)) for one in found],
        "properties": {"ignored": ignored},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(check: Check) -> dict[str, Any]:
    """The page of `fanin explain` is its help."""
    page = check.page.strip()
    return {
        "id": check.code,
        "name": "".join(word.capitalize() for word in check.name.replace("-", " ").split()),
        "shortDescription": {"text": check.name.capitalize()},
        "fullDescription": {"text": check.summary},
        "help": {"text": page, "markdown": page},
        "properties": {"tags": ["initialization", f"family-{check.code[0]}"]},
    }


def _result(located: Located, rule: int) -> dict[str, Any]:
    finding = located.finding
    said = f"{finding.name.capitalize()} in {located.model}, from {finding.place}: {finding.what}. {finding.why}. "
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": str(finding.severity),  # SARIF has the same three words
        "message": {"text": f"{said}Remedy: {finding.remedy}."},
        "locations": [_location(located)],
        "partialFingerprints": {"faninFinding/v1": _fingerprint(located)},
        "properties": {"model": located.model, "startHelps": finding.start_helps, "affected": list(finding.affected)},
    }


def _location(located: Located) -> dict[str, Any]:
    path, place = PurePath(located.file), located.finding.place
    artifact = {"uri": quote(os.fsencode(located.file)), "uriBaseId": ROOT}
    if path.is_absolute():
        artifact = {"uri": path.as_uri()}
    named = place.parameter or place.module
    logical = {"logicalLocations": [{"fullyQualifiedName": named, "kind": "member"}]} if named else {}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": located.line}}, **logical}


def _fingerprint(located: Located) -> str:
    place = located.finding.place
    known = "\0".join((located.model, located.finding.code, place.parameter or place.module))
    return hashlib.sha256(known.encode("utf-8", "backslashreplace")).hexdigest()
