"""The published JSON schema says what the JSON really is."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import fanin
from fanin.diagnosis import Diagnosis, Place, schema
from fanin.reports import strict_json
from fanin.testing.zoo import ZOO


def published() -> Any:
    return json.loads(schema.schema_text())


@cache
def diagnosis(name: str) -> Diagnosis:
    case = ZOO[name].build()
    return fanin.diagnose(case.model, *case.example, loss=case.loss)


def problems(data: Any) -> list[str]:
    """Of what a program reads, at which place."""
    read = json.loads(strict_json(data), parse_constant=pytest.fail)
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(published()).iter_errors(read)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(published())


@pytest.mark.parametrize("name", ["relu, He", "tanh, too large", "tanh, weights 0"])
def test_a_diagnosis_is_as_the_schema_says(name: str) -> None:
    assert problems(diagnosis(name).to_dict()) == []
    assert problems([diagnosis(name).to_dict()] * 2) == []


def test_numbers_that_are_not_finite_are_strings() -> None:
    found = diagnosis("tanh, too large")
    broken = replace(found.findings[0], evidence={"share": math.nan, "ratio": math.inf}, place=Place())
    signals = replace(found.signals, loss=math.nan)
    data = replace(found, findings=(broken,), evidence=replace(found.evidence, signals=signals)).to_dict()
    assert problems(data) == []
    read = json.loads(strict_json(data))
    assert (read["signals"]["loss"], read["findings"][0]["evidence"]) == ("nan", {"share": "nan", "ratio": "inf"})


def test_a_repair_is_as_the_schema_says() -> None:
    case = ZOO["tanh, too large"].build()
    repair = fanin.repair_(case.model, *case.example, loss=case.loss)
    assert problems(repair.to_dict()) == []
    left = replace(repair.attempts[0], outcome="taken back", after=repair.attempts[0].finding)
    assert problems(replace(repair, attempts=(left,), plan=None).to_dict()) == []


@pytest.mark.parametrize(
    ("field", "value"), [("severity", "fatal"), ("place", None), ("evidence", {"x": "many"}), ("code", "X")]
)
def test_the_schema_refuses_what_is_not_so(field: str, value: object) -> None:
    """Mutant: a schema that takes anything."""
    data = json.loads(strict_json(diagnosis("tanh, weights 0").to_dict()))
    data["findings"][0][field] = value
    assert problems(data)
    del data["findings"][0][field]
    assert problems(data)
