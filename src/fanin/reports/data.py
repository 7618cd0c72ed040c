"""A page as JSON, for programs."""

from __future__ import annotations

from fanin.reports.page import Page
from fanin.strict_json import encoded_fields, strict_json

VERSION = 2  # of the layout below; raised when a field changes its name or meaning


def to_json(page: Page) -> str:
    """The page as strict JSON: every field under its name, every block with its "kind".

    JSON has no word for numbers that are not finite: they are the strings "nan", "inf" and "-inf".
    """
    return strict_json({"version": VERSION, **encoded_fields(page)})
