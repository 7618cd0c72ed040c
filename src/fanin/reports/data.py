"""A page as JSON, for programs."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeAlias

from fanin.reports.page import Page

Json: TypeAlias = str | int | float | bool | list["Json"] | dict[str, "Json"] | None

VERSION = 1  # of the layout below; raised when a field changes its name or meaning


def to_json(page: Page) -> str:
    """The page as strict JSON: every field under its name, every block with its "kind".

    JSON has no word for numbers that are not finite: they are the strings "nan", "inf" and "-inf".
    """
    return strict_json({"version": VERSION, **_fields(page)})


def strict_json(value: object) -> str:
    """Any plain data or dataclasses as JSON that every parser reads; numbers that are not finite become strings."""
    return json.dumps(_encoded(value), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _encoded(value: object) -> Json:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): _encoded(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_encoded(item) for item in value]
    return {"kind": type(value).__name__, **_fields(value)}


def _fields(value: object) -> dict[str, Json]:
    assert is_dataclass(value)
    return {f.name: _encoded(getattr(value, f.name)) for f in fields(value)}
