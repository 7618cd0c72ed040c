"""SARIF as code scanning reads it: rules, levels, places, and fingerprints that stay."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fanin.diagnosis import CHECKS, Finding, Place, Severity
from fanin.reports import strict_json
from fanin.reports.sarif import ROOT, Located, sarif

PLACE = Place(7, 12, ("body.6", 7, 12), "body.6", "linear", "net.py:14")
FINDING = Finding("B01", "vanishing gradients", Severity.ERROR, PLACE, "what, <b> & é", "why", "do this", ("body.6",))
OURS = Located(FINDING, "src/net.py:deep", "src/my net.py", 14)

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}


def exactly(**properties: Any) -> dict[str, Any]:
    """As SARIF has it: what is not named is not allowed."""
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


# What we use of the standard's own schema (OASIS, sarif-schema-2.1.0.json), with its names, kinds and bounds.
PART = exactly(
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs={
        "type": "array",
        "items": exactly(
            tool=exactly(
                driver=exactly(
                    name={"type": "string"},
                    version={"type": "string"},
                    rules={
                        "type": "array",
                        "uniqueItems": True,
                        "items": exactly(
                            id={"type": "string"},
                            name={"type": "string"},
                            shortDescription=TEXT,
                            fullDescription=TEXT,
                            help=TEXT,
                            properties={"type": "object"},
                        ),
                    },
                )
            ),
            invocations={"type": "array", "items": exactly(executionSuccessful={"type": "boolean"})},
            originalUriBaseIds={"type": "object", "additionalProperties": exactly(description=TEXT)},
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results={
                "type": "array",
                "items": exactly(
                    ruleId={"type": "string"},
                    ruleIndex={"type": "integer", "minimum": -1},
                    level={"enum": ["none", "note", "warning", "error"]},
                    message=TEXT,
                    locations={"type": "array", "minItems": 1},
                    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
                    properties={"type": "object"},
                ),
            },
            properties={"type": "object"},
        ),
    },
)


def made(*found: Located) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(strict_json(sarif(found, "0.1.0", ignored=2)))
    Draft202012Validator(PART).validate(document)
    return document


def results(*found: Located) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = made(*found)["runs"][0]["results"]
    return listed


def test_every_check_is_a_rule_with_its_page() -> None:
    run = made()["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CHECKS)
    assert all("## Remedy" in rule["help"]["markdown"] for rule in rules)
    assert {rule["id"]: rule["name"] for rule in rules}["N01"] == "NonFiniteValues"
    assert (run["results"], run["properties"]) == ([], {"ignored": 2})


def test_a_finding_is_shown_at_its_line() -> None:
    (result,) = results(OURS)
    assert list(CHECKS)[result["ruleIndex"]] == result["ruleId"] == "B01"
    physical, (logical,) = result["locations"][0]["physicalLocation"], result["locations"][0]["logicalLocations"]
    assert physical == {
        "artifactLocation": {"uri": "src/my%20net.py", "uriBaseId": ROOT},
        "region": {"startLine": 14},
    }
    assert logical["fullyQualifiedName"] == "body.6"
    assert result["message"]["text"] == (
        "Vanishing gradients in src/net.py:deep, from layer 7 of 12 (body.6, net.py:14): what, <b> & é. why. "
        "Remedy: do this."
    )


def test_a_finding_of_the_model_as_a_whole_has_no_module() -> None:
    (result,) = results(replace(OURS, finding=replace(FINDING, place=Place())))
    assert "logicalLocations" not in result["locations"][0]


def test_a_file_elsewhere_has_a_whole_uri() -> None:
    (result,) = results(replace(OURS, file="/elsewhere/my net.py"))
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///elsewhere/my%20net.py"}


@pytest.mark.parametrize("severity", Severity)
def test_levels_are_the_severities(severity: Severity) -> None:
    (result,) = results(replace(OURS, finding=replace(FINDING, severity=severity)))
    assert result["level"] == severity


def test_a_fingerprint_stays_when_lines_and_numbers_change_and_tells_models_checks_and_places_apart() -> None:
    """Mutants: a fingerprint of the line; one of the code alone."""

    def fingerprint(located: Located) -> str:
        (one,) = results(located)[0]["partialFingerprints"].values()
        return str(one)

    moved = replace(FINDING, what="other numbers", evidence={"ratio": 2.0}, place=replace(PLACE, source="net.py:99"))
    assert fingerprint(OURS) == fingerprint(replace(OURS, finding=moved, line=99))
    others = [
        replace(OURS, model="src/net.py:wide"),
        replace(OURS, finding=replace(FINDING, code="B02")),
        replace(OURS, finding=replace(FINDING, place=replace(PLACE, module="body.7"))),
    ]
    assert len({fingerprint(one) for one in (OURS, *others)}) == 4
