"""The JSON schema (draft 2020-12) of what `Diagnosis.to_dict`, `Repair.to_dict` and `fanin check --json` give.

Within a version, fields are added and none changes its meaning or goes. Programs skip what they do not know.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

FILE: Final = "diagnosis.schema.json"


def schema_text() -> str:
    """The schema as it is shipped."""
    return (files(__name__) / FILE).read_text(encoding="utf-8")
