"""JSON that every parser reads, of plain data and dataclasses."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeAlias

Json: TypeAlias = str | int | float | bool | list["Json"] | dict[str, "Json"] | None


def strict_json(value: object) -> str:
    """Any plain data or dataclasses as JSON that every parser reads; numbers that are not finite become strings.

    Example:
        >>> print(strict_json({"loss": math.inf, "steps": [1, None]}), end="")
        {
          "loss": "inf",
          "steps": [
            1,
            null
          ]
        }
    """
    return json.dumps(encoded(value), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def encoded(value: object) -> Json:
    """The same as plain data; a dataclass has its fields and its "kind"."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): encoded(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [encoded(item) for item in value]
    return {"kind": type(value).__name__, **encoded_fields(value)}


def encoded_fields(value: object) -> dict[str, Json]:
    """Of a dataclass."""
    assert is_dataclass(value)
    return {f.name: encoded(getattr(value, f.name)) for f in fields(value)}
