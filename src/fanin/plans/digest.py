"""The digest of a start: 64 digits that stand for every value, on however many processes they lie."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from fanin.initializers import to_dict
from fanin.stream import key
from fanin.stream.keys import VERSION

if TYPE_CHECKING:
    from fanin.plans.model import Entry, Plan

SHOWN: Final = 12  # hexadecimal digits in print: of a million starts, two agree in them with a chance of 0.2 %


def digest(plan: Plan, seed: int) -> str:
    """SHA-256, in hexadecimal, of the stream's version, the seed, and what the plan says of values; see `Plan.digest`.

    Raises:
        BadInput: the seed is not an integer in [0, 2¹²⁸).
    """
    key(seed, "")
    data = {"stream": VERSION, "seed": seed, "parameters": sorted((_of(e) for e in plan), key=lambda row: row["path"])}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _of(entry: Entry) -> dict[str, Any]:
    """What decides the values of a parameter: no reason, role or standard deviation."""
    p = entry.parameter
    return {
        "path": p.drawn_as,
        "also": sorted(p.also),
        "shape": p.shape,
        "dtype": p.dtype,
        "fans": asdict(p.fans) if p.fans else None,
        "parts": asdict(p.parts) if p.parts else None,
        "initializer": to_dict(entry.initializer),
    }
