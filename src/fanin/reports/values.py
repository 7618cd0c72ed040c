"""What stands in a cell, and the few words that say how it is shown."""

from __future__ import annotations

from typing import Literal, TypeAlias

from fanin.signals import Histogram

Value: TypeAlias = str | int | float | Histogram | None
Format: TypeAlias = Literal["text", "integer", "number", "scientific", "percent", "histogram"]
Align: TypeAlias = Literal["left", "right"]
Tone: TypeAlias = Literal["plain", "good", "warn", "bad"]
Severity: TypeAlias = Literal["error", "warning", "note", "ok"]
